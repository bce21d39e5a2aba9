/* source_order.h - in which order the sources of a hub stand side by side. */
#ifndef BS_NETWORK_SOURCE_ORDER_H
#define BS_NETWORK_SOURCE_ORDER_H

#include "network/layout.h"

/* Brings member[0 .. n), leaves that share a hub, into the lexicographically first order by path in
 * which each port sees its own sources side by side. BS_NETWORK: there is none. */
bs_status bs_order_sources(const bs_layout *layout, const bs_wiring *wiring, bs_arena *arena, int n,
                           int *member, bs_error *err);

#endif
