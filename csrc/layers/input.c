/* input.c - Input: its outputs are the external data. */
#include "layers/layer.h"

typedef struct {
    bs_shapes_option out_shapes;
} input;

static const bs_option options[] = {
    {"out_shapes", BS_OPT_SHAPES, offsetof(input, out_shapes), NULL, NULL}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const input *self = state;
    if (self->out_shapes.n == 0)
        return bs_fail(err, BS_LAYER, "out_shapes is empty");
    for (int i = 0; i < self->out_shapes.n; i++)
        BS_TRY(bs_add_output(layer, self->out_shapes.shapes[i].name,
                             self->out_shapes.shapes[i].shape, err));
    return BS_OK;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    (void)h, (void)state, (void)io; /* the data are there already */
}

const bs_layer_type bs_layer_input = {
    .name = "Input",
    .options = options,
    .state_size = sizeof(input),
    .flags = BS_IS_INPUT,
    .setup = setup,
    .forward = forward,
    .backward = forward,
};
