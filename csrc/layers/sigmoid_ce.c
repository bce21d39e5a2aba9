/* sigmoid_ce.c - SigmoidCE: y = sigmoid(x), loss = -(t*ln(y) + (1-t)*ln(1-y)), elementwise, with y
 * and 1-y clipped to [1e-6, 1] in the logarithms.
 *
 * Backward: dcee = (y-t)*dloss, which is added to the deltas of x. Deltas into predictions are
 * ignored, targets get none. */
#include "layers/kit.h"

enum { X, TARGETS };
enum { PREDICTIONS, LOSS };
enum { DCEE };

static const bs_port inputs[] = {
    {"default", "T B ...", 0}, {"targets", "T B ...", BS_NO_DELTA}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    bs_shape x = layer->in.buffer[X].shape;
    (void)state;
    BS_TRY(bs_want_shape(layer, TARGETS, &x, "that of 'default'", err));
    BS_TRY(bs_add_final_output(layer, "predictions", x, err));
    BS_TRY(bs_add_output(layer, "loss", x, err));
    x.backward_only = 1;
    return bs_add_internal(layer, "dcee", x, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array *y = &io->out[PREDICTIONS], *loss = &io->out[LOSS];
    (void)state;
    bs_sigmoid(h, &io->in[X], y);
    bs_log_likelihood(h, y, &io->in[TARGETS], loss);
    bs_mult_st(h, -1.0, loss, loss);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array *dcee = &io->inner[DCEE];
    (void)state;
    bs_subtract_tt(h, &io->out[PREDICTIONS], &io->in[TARGETS], dcee);
    bs_mult_tt(h, dcee, &io->d_out[LOSS], dcee);
    bs_put(h, io->d_in_write[X], dcee, &io->d_in[X]);
}

const bs_layer_type bs_layer_sigmoid_ce = {
    .name = "SigmoidCE",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
