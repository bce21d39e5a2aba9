/* merge.c - Merge: two inputs joined along the last dimension. */
#include "layers/kit.h"

enum { A, B };
enum { Y };

static const bs_port inputs[] = {{"inputs_1", "...", 0}, {"inputs_2", "...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const bs_shape *a = &layer->in.buffer[A].shape, *b = &layer->in.buffer[B].shape;
    bs_shape y = *a, other = *b;
    (void)state;
    if (a->ndim && a->ndim == b->ndim) {
        y.dim[y.ndim - 1] = other.dim[y.ndim - 1];
        if (bs_shape_equal(&y, &other)) {
            y.dim[y.ndim - 1] = a->dim[y.ndim - 1] + b->dim[y.ndim - 1];
            return bs_add_output(layer, "default", y, err);
        }
    }
    char a_text[120], b_text[120];
    bs_shape_text(a_text, sizeof a_text, a);
    bs_shape_text(b_text, sizeof b_text, b);
    return bs_fail(err, BS_LAYER,
                   "inputs_1 %s and inputs_2 %s must agree in all dimensions but the last", a_text,
                   b_text);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    (void)state;
    bs_merge_tt(h, &io->in[A], &io->in[B], &io->out[Y]);
}

/* Where the operation adds the deltas of a port; it takes both, so one to be skipped is scratch. */
static bs_array start_sum(bs_handler *h, bs_write write, const bs_array *d_in)
{
    const bs_array sum = write == BS_SKIP ? bs_scratch_like(h, d_in) : *d_in;
    bs_put_nothing(h, write == BS_SKIP ? BS_SET : write, &sum);
    return sum;
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    (void)state;
    if (io->d_in_write[A] == BS_SKIP && io->d_in_write[B] == BS_SKIP)
        return;
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array d_a = start_sum(h, io->d_in_write[A], &io->d_in[A]);
    const bs_array d_b = start_sum(h, io->d_in_write[B], &io->d_in[B]);
    bs_split_add_tt(h, &io->d_out[Y], &d_a, &d_b);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_merge = {
    .name = "Merge",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
