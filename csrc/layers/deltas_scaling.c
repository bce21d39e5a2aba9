/* deltas_scaling.c - DeltasScaling: y = x; backward dx = factor*dy, which is no derivative unless
 * factor is 1. */
#include "layers/kit.h"

enum { X };
enum { Y };

typedef struct {
    double factor;
} deltas_scaling;

static const bs_option options[] = {
    {"factor", BS_OPT_NUMBER, offsetof(deltas_scaling, factor), NULL, NULL}, {0}};
static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    (void)state;
    return bs_add_output(layer, "default", layer->in.buffer[X].shape, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    (void)state;
    bs_copy_to(h, &io->in[X], &io->out[Y]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const deltas_scaling *self = state;
    if (io->d_in_write[X] == BS_SET)
        bs_mult_st(h, self->factor, &io->d_out[Y], &io->d_in[X]);
    else if (io->d_in_write[X] == BS_ADD)
        bs_mult_add_st(h, self->factor, &io->d_out[Y], &io->d_in[X]);
}

const bs_layer_type bs_layer_deltas_scaling = {
    .name = "DeltasScaling",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(deltas_scaling),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
