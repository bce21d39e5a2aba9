/* recurrent.c - Recurrent: y[t] = act(W x[t] + R y[t-1] + bias). */
#include "layers/recurrent_passes.h"

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    return bs_recurrent_setup(layer, state, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_recurrent_forward(h, state, io, NULL);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_recurrent_backward(h, state, io, NULL);
}

const bs_layer_type bs_layer_recurrent = {
    .name = "Recurrent",
    .options = bs_recurrent_options,
    .inputs = bs_recurrent_inputs,
    .state_size = sizeof(bs_recurrent),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
