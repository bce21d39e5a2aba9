/* squared_error.c - SquaredError: predictions = x, diff = x - t, loss = 0.5*diff^2, elementwise.
 *
 * Backward: dx = diff * dloss. Deltas into predictions are ignored, targets get none. */
#include "layers/kit.h"

enum { X, TARGETS };
enum { PREDICTIONS, LOSS };
enum { DIFF };

static const bs_port inputs[] = {
    {"default", "T B ...", 0}, {"targets", "T B ...", BS_NO_DELTA}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const bs_shape x = layer->in.buffer[X].shape;
    (void)state;
    BS_TRY(bs_want_shape(layer, TARGETS, &x, "that of 'default'", err));
    BS_TRY(bs_add_final_output(layer, "predictions", x, err));
    BS_TRY(bs_add_output(layer, "loss", x, err));
    return bs_add_internal(layer, "diff", x, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array *diff = &io->inner[DIFF], *loss = &io->out[LOSS];
    (void)state;
    bs_copy_to(h, &io->in[X], &io->out[PREDICTIONS]);
    bs_subtract_tt(h, &io->in[X], &io->in[TARGETS], diff);
    bs_mult_tt(h, diff, diff, loss);
    bs_mult_st(h, 0.5, loss, loss);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    (void)state;
    bs_put_mult(h, io->d_in_write[X], &io->inner[DIFF], &io->d_out[LOSS], &io->d_in[X]);
}

const bs_layer_type bs_layer_squared_error = {
    .name = "SquaredError",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
