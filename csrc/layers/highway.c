/* highway.c - Highway: y = T*H + (1-T)*x, elementwise; T is the transform gate.
 * R. Srivastava, K. Greff and J. Schmidhuber, "Highway Networks", arXiv:1505.00387, 2015.
 *
 * Backward: dH = T*dy, dT = (H-x)*dy, dx = (1-T)*dy. */
#include "layers/kit.h"

enum { H, T, X };
enum { Y };

static const bs_port inputs[] = {
    {"H", "T B ...", 0}, {"T", "T B ...", 0}, {"x", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const bs_shape x = layer->in.buffer[X].shape;
    (void)state;
    BS_TRY(bs_want_shape(layer, H, &x, "that of 'x'", err));
    BS_TRY(bs_want_shape(layer, T, &x, "that of 'x'", err));
    return bs_add_output(layer, "default", x, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array carry = bs_scratch_like(h, &io->in[T]);
    (void)state;
    bs_one_minus(h, &io->in[T], &carry);
    bs_mult_tt(h, &io->in[T], &io->in[H], &io->out[Y]);
    bs_mult_add_tt(h, &carry, &io->in[X], &io->out[Y]);
    bs_scratch_release(h, mark);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array *dy = &io->d_out[Y];
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, dy);
    (void)state;
    bs_put_mult(h, io->d_in_write[H], &io->in[T], dy, &io->d_in[H]);
    bs_subtract_tt(h, &io->in[H], &io->in[X], &part);
    bs_put_mult(h, io->d_in_write[T], &part, dy, &io->d_in[T]);
    bs_one_minus(h, &io->in[T], &part);
    bs_put_mult(h, io->d_in_write[X], &part, dy, &io->d_in[X]);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_highway = {
    .name = "Highway",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
