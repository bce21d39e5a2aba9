/* fully_connected.c - FullyConnected: y = act(x W' + bias), the features of x flattened. */
#include <string.h>

#include "layers/kit.h"

enum { X };       /* inputs,     in the order of the table below */
enum { Y };       /* outputs,    in the order setup adds them    */
enum { W, BIAS }; /* parameters, likewise                        */

typedef struct {
    bs_size_option size;
    int activation;
} fully_connected;

static const bs_option options[] = {
    {"size", BS_OPT_SIZE, offsetof(fully_connected, size), "none", NULL},
    {"activation", BS_OPT_ACTIVATION, offsetof(fully_connected, activation), "rel", NULL},
    {0}};
static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const fully_connected *self = state;
    const bs_shape *x = &layer->in.buffer[X].shape;
    bs_shape y = *x;
    if (self->size.ndim) { /* else keep the input's shape */
        y.ndim = self->size.ndim;
        memcpy(y.dim, self->size.dim, sizeof y.dim);
    }
    BS_TRY(bs_add_output(layer, "default", y, err));
    const int64_t n_in = bs_shape_size(x), n_out = bs_shape_size(&y);
    BS_TRY(bs_add_parameter(layer, "W", bs_fixed_2d(n_out, n_in), 0, err));
    return bs_add_parameter(layer, "bias", bs_fixed_1d(n_out), 0, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const fully_connected *self = state;
    const bs_array x = bs_flat(&io->in[X]), y = bs_flat(&io->out[Y]),
                   w = bs_matrix(&io->param[W], 1);
    bs_linear_act(h, &x, &w, &io->param[BIAS], &y, self->activation);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const fully_connected *self = state;
    const bs_array x = bs_flat(&io->in[X]), dx = bs_flat(&io->d_in[X]),
                   w = bs_matrix(&io->param[W], 1);
    const bs_array y = bs_flat(&io->out[Y]), dy = bs_flat(&io->d_out[Y]);
    bs_activate_deriv(h, self->activation, &y, &dy, &dy);
    bs_put_dot(h, io->d_in_write[X], &dy, BS_NO_TRANS, &w, BS_NO_TRANS, &dx);
    bs_put_weight_gradient(h, io, W, &dy, &x);
    bs_put_column_sums(h, io->d_param_write[BIAS], &dy, &io->d_param[BIAS]);
}

const bs_layer_type bs_layer_fully_connected = {
    .name = "FullyConnected",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(fully_connected),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
