/* elementwise.c - Elementwise: y = act(x). */
#include "layers/kit.h"

enum { X };
enum { Y };

typedef struct {
    int activation;
} elementwise;

static const bs_option options[] = {
    {"activation", BS_OPT_ACTIVATION, offsetof(elementwise, activation), "rel", NULL}, {0}};
static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    (void)state;
    return bs_add_output(layer, "default", layer->in.buffer[X].shape, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const elementwise *self = state;
    bs_activate(h, self->activation, &io->in[X], &io->out[Y]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const elementwise *self = state;
    bs_put_activate_deriv(h, io->d_in_write[X], self->activation, &io->out[Y], &io->d_out[Y],
                          &io->d_in[X]);
}

const bs_layer_type bs_layer_elementwise = {
    .name = "Elementwise",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(elementwise),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
