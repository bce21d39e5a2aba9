/* reverse.c - Reverse: each sequence from its end to its beginning.
 *
 * A sequence ends with its last step whose mask is not 0, without a mask with the last step of all;
 * steps behind the end stay where they are. The deltas are reversed likewise, the mask gets none.
 */
#include "layers/kit.h"

enum { X, MASK };
enum { Y };

typedef struct {
    int has_mask;
} reverse;

static const bs_port inputs[] = {
    {"default", "T B ...", 0}, {"mask", "T B 1", BS_NO_DELTA | BS_OPTIONAL}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    reverse *self = state;
    self->has_mask = layer->in.n > MASK;
    return bs_add_output(layer, "default", layer->in.buffer[X].shape, err);
}

/* The mask, or one of ones in scratch. */
static bs_array mask_of(bs_handler *h, const reverse *self, const bs_io *io)
{
    if (self->has_mask)
        return io->in[MASK];
    const int64_t *dim = io->in[X].dim;
    const bs_array ones = bs_scratch_array(h, 3, (const int64_t[]){dim[0], dim[1], 1});
    bs_fill(h, &ones, 1.0);
    return ones;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array mask = mask_of(h, state, io);
    bs_reverse_steps(h, &io->in[X], &mask, &io->out[Y]);
    bs_scratch_release(h, mark);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array mask = mask_of(h, state, io), part = bs_scratch_like(h, &io->d_in[X]);
    bs_reverse_steps(h, &io->d_out[Y], &mask, &part);
    bs_put(h, io->d_in_write[X], &part, &io->d_in[X]);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_reverse = {
    .name = "Reverse",
    .inputs = inputs,
    .state_size = sizeof(reverse),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
