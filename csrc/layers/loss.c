/* loss.c - Loss: importance/B * sum(x), with B = 1 for inputs of constant size. Its own output
 * deltas are ignored. */
#include "layers/kit.h"

enum { X };
enum { LOSS };

typedef struct {
    double importance;
    bs_scale scale; /* of the input */
} loss;

static const bs_option options[] = {
    {"importance", BS_OPT_NUMBER, offsetof(loss, importance), "1.0", NULL}, {0}};
static const bs_port inputs[] = {{"default", "...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    loss *self = state;
    self->scale = layer->in.buffer[X].shape.scale;
    return bs_add_final_output(layer, "loss", bs_fixed_1d(1), err);
}

/* dL/dx, the same for every element */
static double weight(const loss *self, const bs_array *x)
{
    const int64_t batch = self->scale == BS_FIXED ? 1 : x->dim[self->scale == BS_TIME ? 1 : 0];
    return self->importance / (double)batch;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const loss *self = state;
    const bs_array x = bs_flat(&io->in[X]);
    bs_sum_t(h, &x, BS_ALL_AXES, &io->out[LOSS]);
    bs_mult_st(h, weight(self, &io->in[X]), &io->out[LOSS], &io->out[LOSS]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const loss *self = state;
    const double value = weight(self, &io->in[X]);
    if (io->d_in_write[X] == BS_SET)
        bs_fill(h, &io->d_in[X], value);
    else if (io->d_in_write[X] == BS_ADD)
        bs_add_st(h, value, &io->d_in[X], &io->d_in[X]);
}

const bs_layer_type bs_layer_loss = {
    .name = "Loss",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(loss),
    .flags = BS_IS_LOSS,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
