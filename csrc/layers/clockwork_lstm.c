/* clockwork_lstm.c - ClockworkLstm: an Lstm whose cell j computes at steps t with
 * fmod(t, timing[j]) = 0 only, and keeps cell and output in between. The gates are computed at
 * every step. t counts from 0 in each pass.
 *
 * J. Koutnik, K. Greff, F. Gomez, J. Schmidhuber, "A Clockwork RNN", ICML 2014. */
#include "layers/lstm_passes.h"

enum { TIMING = 15 };

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const bs_recurrent *self = state;
    BS_TRY(bs_lstm_setup(layer, self, err));
    return bs_add_parameter(layer, "timing", bs_fixed_1d(self->size), BS_NO_GRADIENT, err);
}

static void check(bs_handler *h, const void *state, const bs_io *io)
{
    (void)state;
    bs_clock_check(h, &io->param[TIMING]);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_lstm_forward_gates(h, state, io, &io->param[TIMING]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_lstm_backward_gates(h, state, io, &io->param[TIMING]);
}

const bs_layer_type bs_layer_clockwork_lstm = {
    .name = "ClockworkLstm",
    .options = bs_recurrent_options,
    .inputs = bs_recurrent_inputs,
    .state_size = sizeof(bs_recurrent),
    .setup = setup,
    .check = check,
    .forward = forward,
    .backward = backward,
};
