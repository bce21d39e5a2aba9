/* recurrent_passes.h - the passes over time of Recurrent and Clockwork.
 *
 * Ha[t] = W x[t] + R y[t-1] + bias, y[t] = act(Ha[t]), or y[t-1] where a clock keeps the unit.
 * Backward: dHb[t] = dL/dy[t] = dy[t] + R' dHa[t+1], dHa[t] = dHb[t] * act'(y[t]); a kept unit has
 * dHa 0 and hands dHb on to the step before. The slot behind the last step of dHb receives the
 * delta of the state before step 0. */
#ifndef BS_LAYERS_RECURRENT_PASSES_H
#define BS_LAYERS_RECURRENT_PASSES_H

#include "layers/recurrence.h"

/* Declares output, parameters W, R, bias, and internals Ha, dHa, dHb. */
bs_status bs_recurrent_setup(bs_layer *layer, const bs_recurrent *self, bs_error *err);

/* timing: (n), or NULL for no clocks. */
void bs_recurrent_forward(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                          const bs_array *timing);
void bs_recurrent_backward(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                           const bs_array *timing);

#endif
