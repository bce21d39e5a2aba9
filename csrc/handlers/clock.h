/* clock.h - clocks of recurrent layers: which units keep their state at a step. */
#ifndef BS_HANDLERS_CLOCK_H
#define BS_HANDLERS_CLOCK_H

#include "handlers/handler.h"

/* At step t those with fmod(t, timing) != 0. Without a timing none does. */
typedef struct bs_clock {
    const bs_array *timing; /* (n) or (1, n), or NULL */
    bs_array keep;          /* (B, n), 0 or not; in scratch */
    bs_array row;           /* (1, n); in scratch */
} bs_clock;

/* What operations over all steps take for timing, (1, n): without clocks (NULL) it is left out. */
bs_array bs_timing_row(const bs_array *timing);

/* `like` is any (B, n) array. */
bs_clock bs_clock_open(bs_handler *h, const bs_array *timing, const bs_array *like);
void bs_clock_set(bs_handler *h, const bs_clock *clock, int64_t t);

#endif
