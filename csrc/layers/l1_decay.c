/* l1_decay.c - L1Decay: loss = sum of |x| over all features of a sequence and step.
 *
 * tmp holds |x| after the forward pass and sign(x)*dloss, which is added to the deltas of x, after
 * the backward pass. */
#include "layers/kit.h"

enum { X };
enum { LOSS };
enum { TMP };

static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    (void)state;
    BS_TRY(bs_add_output(layer, "loss", bs_time_shape(1), err));
    return bs_add_internal(layer, "tmp", layer->in.buffer[X].shape, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array tmp = bs_flat(&io->inner[TMP]), loss = bs_flat(&io->out[LOSS]);
    (void)state;
    bs_abs_t(h, &io->in[X], &io->inner[TMP]);
    bs_sum_t(h, &tmp, 1, &loss);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array tmp = bs_flat(&io->inner[TMP]), dloss = bs_flat(&io->d_out[LOSS]);
    (void)state;
    bs_sign_t(h, &io->in[X], &io->inner[TMP]);
    bs_mult_mv(h, &tmp, &dloss, &tmp);
    bs_put(h, io->d_in_write[X], &io->inner[TMP], &io->d_in[X]);
}

const bs_layer_type bs_layer_l1_decay = {
    .name = "L1Decay",
    .inputs = inputs,
    .flags = BS_FILLS_INTERNALS,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
