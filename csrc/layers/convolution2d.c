/* convolution2d.c - Convolution2D: y = act(x * W + bias), a cross-correlation over zero-padded
 * images (H, W, C). */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { W, BIAS };

typedef struct {
    int64_t num_filters;
    bs_window_options window;
    int activation;
} convolution2d;

static const bs_option options[] = {
    {"num_filters", BS_OPT_INT, offsetof(convolution2d, num_filters), NULL, NULL},
    {"kernel_size", BS_OPT_PAIR, offsetof(convolution2d, window.kernel_size), NULL, NULL},
    {"stride", BS_OPT_PAIR, offsetof(convolution2d, window.stride), "1 1", NULL},
    {"padding", BS_OPT_PADDING, offsetof(convolution2d, window.padding), "0", NULL},
    {"activation", BS_OPT_ACTIVATION, offsetof(convolution2d, activation), "tanh", NULL},
    {0}};
static const bs_port inputs[] = {{"default", "T B H W C", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const convolution2d *self = state;
    const bs_window win = bs_window_of(&self->window);
    bs_shape y;
    BS_TRY(bs_window_output(&layer->in.buffer[X].shape, &win, self->num_filters, &y, err));
    BS_TRY(bs_add_output(layer, "default", y, err));
    const bs_shape w = {
        .scale = BS_FIXED,
        .ndim = 4,
        .dim = {self->num_filters, win.rows, win.cols, layer->in.buffer[X].shape.dim[2]}};
    BS_TRY(bs_add_parameter(layer, "W", w, 0, err));
    return bs_add_parameter(layer, "bias", bs_fixed_1d(self->num_filters), 0, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const convolution2d *self = state;
    const bs_window win = bs_window_of(&self->window);
    const bs_array x = bs_images(&io->in[X]), y = bs_images(&io->out[Y]);
    bs_conv2d_forward_act(h, &x, &io->param[W], &io->param[BIAS], &y, self->activation, &win);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const convolution2d *self = state;
    const bs_window win = bs_window_of(&self->window);
    const bs_array x = bs_images(&io->in[X]), y = bs_images(&io->out[Y]),
                   dy = bs_images(&io->d_out[Y]);
    const bs_array *dw = &io->d_param[W], *dbias = &io->d_param[BIAS];
    const bs_mark mark = bs_scratch_mark(h);
    bs_array dx = bs_images(&io->d_in[X]);
    if (io->d_in_write[X] == BS_SKIP)
        dx.data = NULL; /* the operation leaves it out */
    bs_put_nothing(h, io->d_in_write[X], &dx);

    /* the operation sets the gradients, so those to be added come by way of scratch */
    const bs_array part_w = io->d_param_write[W] == BS_ADD ? bs_scratch_like(h, dw) : *dw;
    const bs_array part_bias = io->d_param_write[BIAS] == BS_ADD ? bs_scratch_like(h, dbias)
                                                                 : *dbias;
    bs_conv2d_backward_act(h, &x, &io->param[W], &y, &dx, &dy, &part_w, &part_bias,
                           self->activation, &win);
    if (io->d_param_write[W] == BS_ADD)
        bs_add_tt(h, &part_w, dw, dw);
    if (io->d_param_write[BIAS] == BS_ADD)
        bs_add_tt(h, &part_bias, dbias, dbias);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_convolution2d = {
    .name = "Convolution2D",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(convolution2d),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
