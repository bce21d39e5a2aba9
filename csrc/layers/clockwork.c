/* clockwork.c - Clockwork: a recurrent layer whose unit j computes at steps t with fmod(t,
 * timing[j]) = 0 only, and keeps its output in between. t counts from 0 in each pass.
 *
 * J. Koutnik, K. Greff, F. Gomez, J. Schmidhuber, "A Clockwork RNN", ICML 2014. */
#include "layers/recurrent_passes.h"

enum { W, R, BIAS, TIMING };

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const bs_recurrent *self = state;
    BS_TRY(bs_recurrent_setup(layer, self, err));
    return bs_add_parameter(layer, "timing", bs_fixed_1d(self->size), BS_NO_GRADIENT, err);
}

static void check(bs_handler *h, const void *state, const bs_io *io)
{
    (void)state;
    bs_clock_check(h, &io->param[TIMING]);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_recurrent_forward(h, state, io, &io->param[TIMING]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_recurrent_backward(h, state, io, &io->param[TIMING]);
}

const bs_layer_type bs_layer_clockwork = {
    .name = "Clockwork",
    .options = bs_recurrent_options,
    .inputs = bs_recurrent_inputs,
    .state_size = sizeof(bs_recurrent),
    .setup = setup,
    .check = check,
    .forward = forward,
    .backward = backward,
};
