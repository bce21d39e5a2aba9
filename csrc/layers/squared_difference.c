/* squared_difference.c - SquaredDifference: diff = a - b, y = diff^2, elementwise.
 *
 * Backward: da = 2*diff*dy, db = -da. */
#include "layers/kit.h"

enum { A, B };
enum { Y };
enum { DIFF };

static const bs_port inputs[] = {{"inputs_1", "T B ...", 0}, {"inputs_2", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const bs_shape a = layer->in.buffer[A].shape;
    (void)state;
    BS_TRY(bs_want_shape(layer, B, &a, "that of 'inputs_1'", err));
    BS_TRY(bs_add_output(layer, "default", a, err));
    return bs_add_internal(layer, "diff", a, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array *diff = &io->inner[DIFF];
    (void)state;
    bs_subtract_tt(h, &io->in[A], &io->in[B], diff);
    bs_mult_tt(h, diff, diff, &io->out[Y]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, &io->d_out[Y]);
    (void)state;
    bs_mult_tt(h, &io->inner[DIFF], &io->d_out[Y], &part);
    bs_mult_st(h, 2.0, &part, &part);
    bs_put(h, io->d_in_write[A], &part, &io->d_in[A]);
    bs_mult_st(h, -1.0, &part, &part);
    bs_put(h, io->d_in_write[B], &part, &io->d_in[B]);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_squared_difference = {
    .name = "SquaredDifference",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
