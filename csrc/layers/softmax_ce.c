/* softmax_ce.c - SoftmaxCE: p = softmax(x) over the last dimension, loss = -ln(clip(p[target],
 * 1e-6, 1)).
 *
 * Backward: t_bin = (p - onehot(target)) * dloss, which is added to the deltas of x. Deltas into
 * predictions are ignored, targets get none. */
#include "layers/kit.h"

enum { X, TARGETS };
enum { PREDICTIONS, LOSS };
enum { T_BIN };

static const bs_port inputs[] = {
    {"default", "T B F ...", 0}, {"targets", "T B F ...", BS_NO_DELTA}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    bs_shape x = layer->in.buffer[X].shape, one = x;
    (void)state;
    BS_TRY(bs_want_ids(x.dim[x.ndim - 1], "the number of classes", err));
    one.dim[one.ndim - 1] = 1;
    BS_TRY(bs_want_shape(layer, TARGETS, &one, "one class id each", err));
    BS_TRY(bs_add_final_output(layer, "predictions", x, err));
    BS_TRY(bs_add_output(layer, "loss", one, err));
    x.backward_only = 1;
    return bs_add_internal(layer, "t_bin", x, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array x = bs_pixels(&io->in[X]), targets = bs_pixels(&io->in[TARGETS]);
    const bs_array p = bs_pixels(&io->out[PREDICTIONS]), loss = bs_pixels(&io->out[LOSS]);
    (void)state;
    bs_softmax_ce(h, &x, &targets, &p, &loss);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array p = bs_pixels(&io->out[PREDICTIONS]), targets = bs_pixels(&io->in[TARGETS]);
    const bs_array dloss = bs_pixels(&io->d_out[LOSS]), t_bin = bs_pixels(&io->inner[T_BIN]);
    (void)state;
    bs_softmax_ce_deriv(h, &p, &targets, &dloss, &t_bin);
    bs_put(h, io->d_in_write[X], &io->inner[T_BIN], &io->d_in[X]);
}

const bs_layer_type bs_layer_softmax_ce = {
    .name = "SoftmaxCE",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
