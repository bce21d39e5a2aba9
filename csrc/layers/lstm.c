/* lstm.c - Lstm: long short-term memory with peepholes.
 *
 * z = act(Wz x + Rz y' + bz), i = sigmoid(Wi x + Ri y' + pi*c' + bi), f = sigmoid(Wf x + Rf y' +
 * pf*c' + bf), c = i*z + f*c', o = sigmoid(Wo x + Ro y' + po*c + bo), y = o*act(c); ' is the step
 * before. Internals Za .. Ob are the gates before (a) and after (b) their activations, Ca is c and
 * Cb is act(c). After backward dCa is the whole dL/dc and dCb the part of it that comes by way of
 * Cb.
 *
 * S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; peepholes:
 * F. Gers, N. Schraudolph, J. Schmidhuber, JMLR 3, 2002. */
#include "layers/lstm_passes.h"

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    return bs_lstm_setup(layer, state, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_lstm_forward_gates(h, state, io, NULL);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    bs_lstm_backward_gates(h, state, io, NULL);
}

const bs_layer_type bs_layer_lstm = {
    .name = "Lstm",
    .options = bs_recurrent_options,
    .inputs = bs_recurrent_inputs,
    .state_size = sizeof(bs_recurrent),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
