/* binomial_cross_entropy.c - BinomialCrossEntropy of probabilities y and targets t:
 * cee = t*ln(y) + (1-t)*ln(1-y), with y and 1-y clipped to [1e-6, 1]; the output is minus its sum
 * over all features of a sequence and step.
 *
 * Backward: ceed = (y-t) / clip(y-y^2, 1e-6, 1) * dloss, which is added to the deltas of y. Targets
 * get none. */
#include "layers/kit.h"

enum { Y, TARGETS };
enum { LOSS };
enum { CEE, CEED };

static const bs_port inputs[] = {
    {"default", "T B ...", 0}, {"targets", "T B ...", BS_NO_DELTA}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    bs_shape y = layer->in.buffer[Y].shape;
    (void)state;
    BS_TRY(bs_want_shape(layer, TARGETS, &y, "that of 'default'", err));
    BS_TRY(bs_add_output(layer, "default", bs_time_shape(1), err));
    BS_TRY(bs_add_internal(layer, "cee", y, err));
    y.backward_only = 1;
    return bs_add_internal(layer, "ceed", y, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array cee = bs_flat(&io->inner[CEE]), loss = bs_flat(&io->out[LOSS]);
    (void)state;
    bs_log_likelihood(h, &io->in[Y], &io->in[TARGETS], &io->inner[CEE]);
    bs_sum_t(h, &cee, 1, &loss);
    bs_mult_st(h, -1.0, &loss, &loss);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array *y = &io->in[Y], *ceed = &io->inner[CEED];
    const bs_array ceed_rows = bs_flat(ceed), dloss = bs_flat(&io->d_out[LOSS]);
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array variance = bs_scratch_like(h, y);
    (void)state;
    bs_mult_tt(h, y, y, &variance);
    bs_subtract_tt(h, y, &variance, &variance);
    bs_clip_t(h, &variance, 1e-6, 1.0, &variance);
    bs_subtract_tt(h, y, &io->in[TARGETS], ceed);
    bs_divide_tt(h, ceed, &variance, ceed);
    bs_mult_mv(h, &ceed_rows, &dloss, &ceed_rows);
    bs_put(h, io->d_in_write[Y], ceed, &io->d_in[Y]);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_binomial_cross_entropy = {
    .name = "BinomialCrossEntropy",
    .inputs = inputs,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
