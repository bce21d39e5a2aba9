/* embedding.c - Embedding: each id becomes its row of W, y = W[id].
 *
 * Backward: dy is added to the rows of dW that were used, in the order of steps and sequences; the
 * ids get no deltas. */
#include "layers/kit.h"

enum { IDS };
enum { Y };
enum { W };

typedef struct {
    int64_t vocab_size, size;
} embedding;

static const bs_option options[] = {
    {"vocab_size", BS_OPT_INT, offsetof(embedding, vocab_size), NULL, NULL},
    {"size", BS_OPT_INT, offsetof(embedding, size), NULL, NULL},
    {0}};
static const bs_port inputs[] = {{"default", "T B F ...", BS_NO_DELTA}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const embedding *self = state;
    bs_shape one = layer->in.buffer[IDS].shape, y = one;
    one.dim[one.ndim - 1] = 1;
    y.dim[y.ndim - 1] = self->size;
    BS_TRY(bs_want_shape(layer, IDS, &one, "one id each", err));
    BS_TRY(bs_want_ids(self->vocab_size, "vocab_size", err));
    BS_TRY(bs_add_output(layer, "default", y, err));
    return bs_add_parameter(layer, "W", bs_fixed_2d(self->vocab_size, self->size), 0, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array w = bs_matrix(&io->param[W], 1), ids = bs_pixels(&io->in[IDS]);
    const bs_array y = bs_pixels(&io->out[Y]);
    (void)state;
    bs_embed(h, &w, &ids, &y);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array ids = bs_pixels(&io->in[IDS]), dy = bs_pixels(&io->d_out[Y]);
    const bs_array dw = bs_matrix(&io->d_param[W], 1);
    (void)state;
    bs_put_nothing(h, io->d_param_write[W], &dw);
    bs_embed_add(h, &ids, &dy, &dw);
}

const bs_layer_type bs_layer_embedding = {
    .name = "Embedding",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(embedding),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
