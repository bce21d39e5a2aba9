/* order.h - which order of things puts the members of every set side by side. */
#ifndef BS_NETWORK_ORDER_H
#define BS_NETWORK_ORDER_H

#include "base/memory.h"

typedef struct bs_order {
    int n, n_sets;
    char *member; /* [set][thing]: filled by the caller, 0 or 1 */
    int *order;   /* the result: order[place] = thing */
    void *work;
} bs_order;

/* An order of n things with n_sets empty sets, in `arena`. */
bs_status bs_order_open(bs_order *out, bs_arena *arena, int n, int n_sets, bs_error *err);

/* Finds the lexicographically first order in which each set is contiguous; 0 if there is none. The
 * time it takes is a polynomial of n and n_sets. */
int bs_order_find(bs_order *o);

#endif
