/* mask.c - Mask: y = mask*x, with one number of the mask for each sequence and step, for each row
 * of the last dimension, or for each element.
 *
 * Backward: dx = mask*dy; the mask gets no deltas. */
#include "layers/kit.h"

enum { X, MASK };
enum { Y };

typedef struct {
    int per_step; /* the mask has one number for each sequence and step */
} mask;

static const bs_port inputs[] = {
    {"default", "T B F ...", 0}, {"mask", "T B ...", BS_NO_DELTA}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    mask *self = state;
    const bs_shape x = layer->in.buffer[X].shape, *given = &layer->in.buffer[MASK].shape;
    const bs_shape step = bs_time_shape(1);
    bs_shape row = x;
    row.dim[row.ndim - 1] = 1;
    self->per_step = bs_shape_equal(given, &step);
    if (!self->per_step && !bs_shape_equal(given, &row))
        BS_TRY(bs_want_shape(layer, MASK, &x,
                             "that of 'default', the same with a last dimension of 1, or "
                             "('T', 'B', 1)",
                             err));
    return bs_add_output(layer, "default", x, err);
}

/* x, y and their deltas with rows that take one number of the mask each, or as many as the mask. */
static bs_array view(const mask *self, const bs_array *a)
{
    return self->per_step ? bs_flat(a) : bs_pixels(a);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array x = view(state, &io->in[X]), y = view(state, &io->out[Y]);
    const bs_array m = bs_pixels(&io->in[MASK]);
    bs_mult_mv(h, &x, &m, &y);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array dx = view(state, &io->d_in[X]), dy = view(state, &io->d_out[Y]);
    const bs_array m = bs_pixels(&io->in[MASK]);
    bs_put_mult_mv(h, io->d_in_write[X], &dy, &m, &dx);
}

const bs_layer_type bs_layer_mask = {
    .name = "Mask",
    .inputs = inputs,
    .state_size = sizeof(mask),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
