/* no_op.c - NoOp: y = x. */
#include "layers/kit.h"

enum { X };
enum { Y };

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
    (void)state;
    bs_put(h, io->d_in_write[X], &io->d_out[Y], &io->d_in[X]);
}

const bs_layer_type bs_layer_no_op = {
    .name = "NoOp",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
