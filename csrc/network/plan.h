/* plan.h - the steps of a program, worked out from the wiring alone. */
#ifndef BS_NETWORK_PLAN_H
#define BS_NETWORK_PLAN_H

#include "network/program.h"

/* Everything in `arena`; wiring and layout are borrowed. BS_NO_MEMORY. */
bs_status bs_program_create(bs_program *out, bs_arena *arena, const bs_wiring *wiring,
                            const bs_layout *layout, bs_error *err);

#endif
