/* clock.c - clocks in terms of operations. */
#include "handlers/clock.h"

bs_array bs_timing_row(const bs_array *timing)
{
    return timing ? bs_matrix(timing, 0) : (bs_array){0};
}

bs_clock bs_clock_open(bs_handler *h, const bs_array *timing, const bs_array *like)
{
    const bs_array first = bs_slice(like, 0, 1);
    bs_clock clock = {
        .timing = timing, .keep = bs_scratch_like(h, like), .row = bs_scratch_like(h, &first)};
    bs_fill(h, &clock.keep, 0.0);
    return clock;
}

void bs_clock_set(bs_handler *h, const bs_clock *clock, int64_t t)
{
    if (!clock->timing)
        return;
    const bs_array timing = bs_matrix(clock->timing, 0);
    bs_fill(h, &clock->row, (double)t);
    if (t > 0) /* at step 0 nothing is kept, whatever the timing */
        bs_modulo_tt(h, &clock->row, &timing, &clock->row);
    bs_broadcast_t(h, &clock->row, 0, &clock->keep);
}
