/* l2_decay.c - L2Decay: loss = 0.5 * sum of x^2 over all features of a sequence and step.
 *
 * tmp holds 0.5*x^2 after the forward pass; after the backward pass tmp and dsq_activations both
 * hold x*dloss, which is added to the deltas of x. */
#include "layers/kit.h"

enum { X };
enum { LOSS };
enum { TMP, DSQ_ACTIVATIONS };

static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    bs_shape x = layer->in.buffer[X].shape;
    (void)state;
    BS_TRY(bs_add_output(layer, "loss", bs_time_shape(1), err));
    BS_TRY(bs_add_internal(layer, "tmp", x, err));
    x.backward_only = 1;
    return bs_add_internal(layer, "dsq_activations", x, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array tmp = bs_flat(&io->inner[TMP]), loss = bs_flat(&io->out[LOSS]);
    (void)state;
    bs_mult_tt(h, &io->in[X], &io->in[X], &io->inner[TMP]);
    bs_mult_st(h, 0.5, &tmp, &tmp);
    bs_sum_t(h, &tmp, 1, &loss);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array x = bs_flat(&io->in[X]), tmp = bs_flat(&io->inner[TMP]);
    const bs_array dloss = bs_flat(&io->d_out[LOSS]);
    (void)state;
    bs_mult_mv(h, &x, &dloss, &tmp);
    bs_copy_to(h, &io->inner[TMP], &io->inner[DSQ_ACTIVATIONS]);
    bs_put(h, io->d_in_write[X], &io->inner[TMP], &io->d_in[X]);
}

const bs_layer_type bs_layer_l2_decay = {
    .name = "L2Decay",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
