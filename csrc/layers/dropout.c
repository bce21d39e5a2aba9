/* dropout.c - Dropout. Training: mask = 1 with probability 1 - p, else 0; y = x*mask / (1 - p).
 * Inference: y = x, mask = 1. N. Srivastava et al., "Dropout: a simple way to prevent neural
 * networks from overfitting", JMLR 15, 2014. */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { MASK };

typedef struct {
    double drop_prob;
} dropout;

static const bs_option options[] = {
    {"drop_prob", BS_OPT_NUMBER, offsetof(dropout, drop_prob), "0.5", NULL}, {0}};
static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const dropout *self = state;
    const bs_shape x = layer->in.buffer[X].shape;
    if (self->drop_prob < 0 || self->drop_prob >= 1)
        return bs_fail(err, BS_LAYER, "drop_prob must lie in [0, 1), got %g", self->drop_prob);
    BS_TRY(bs_add_output(layer, "default", x, err));
    return bs_add_internal(layer, "mask", x, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const dropout *self = state;
    if (io->pass == BS_TRAINING) {
        bs_dropout(h, self->drop_prob, &io->in[X], &io->inner[MASK], &io->out[Y]);
    } else {
        bs_fill(h, &io->inner[MASK], 1.0);
        bs_copy_to(h, &io->in[X], &io->out[Y]);
    }
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const dropout *self = state;
    if (io->pass == BS_INFERENCE || self->drop_prob == 0) {
        bs_put(h, io->d_in_write[X], &io->d_out[Y], &io->d_in[X]);
    } else if (io->d_in_write[X] != BS_SKIP) {
        const bs_mark mark = bs_scratch_mark(h);
        const double scale = 1 / (1 - self->drop_prob);
        const int sets = io->d_in_write[X] == BS_SET;
        const bs_array masked = sets ? io->d_in[X] : bs_scratch_like(h, &io->d_out[Y]);
        bs_mult_tt(h, &io->d_out[Y], &io->inner[MASK], &masked);
        if (sets)
            bs_mult_st(h, scale, &masked, &masked);
        else
            bs_mult_add_st(h, scale, &masked, &io->d_in[X]);
        bs_scratch_release(h, mark);
    }
}

const bs_layer_type bs_layer_dropout = {
    .name = "Dropout",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(dropout),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
