/* pooling2d.c - Pooling2D: the maximum (padding never wins) or the mean (of the real elements) of
 * each window. */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { ARGMAX };
enum { MAX, AVG };

typedef struct {
    bs_window_options window;
    int type;
} pooling2d;

static const bs_option options[] = {
    {"kernel_size", BS_OPT_PAIR, offsetof(pooling2d, window.kernel_size), NULL, NULL},
    {"type", BS_OPT_CHOICE, offsetof(pooling2d, type), "max", "max avg"},
    {"stride", BS_OPT_PAIR, offsetof(pooling2d, window.stride), "1 1", NULL},
    {"padding", BS_OPT_PADDING, offsetof(pooling2d, window.padding), "0", NULL},
    {0}};
static const bs_port inputs[] = {{"default", "T B H W C", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const pooling2d *self = state;
    const bs_shape *x = &layer->in.buffer[X].shape;
    const bs_window win = bs_window_of(&self->window);
    bs_shape y;
    BS_TRY(bs_window_output(x, &win, x->dim[2], &y, err));
    BS_TRY(bs_add_output(layer, "default", y, err));
    return self->type == MAX ? bs_add_internal(layer, "argmax", y, err) : BS_OK;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const pooling2d *self = state;
    const bs_window win = bs_window_of(&self->window);
    const bs_array x = bs_images(&io->in[X]), y = bs_images(&io->out[Y]);
    if (self->type == MAX) {
        const bs_array argmax = bs_images(&io->inner[ARGMAX]);
        bs_maxpool2d_forward_batch(h, &x, &y, &argmax, &win);
    } else {
        bs_avgpool2d_forward_batch(h, &x, &y, &win);
    }
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const pooling2d *self = state;
    const bs_window win = bs_window_of(&self->window);
    const bs_array x = bs_images(&io->in[X]), dx = bs_images(&io->d_in[X]);
    const bs_array y = bs_images(&io->out[Y]), dy = bs_images(&io->d_out[Y]);
    if (io->d_in_write[X] == BS_SKIP)
        return;
    if (self->type == MAX) {
        const bs_array argmax = bs_images(&io->inner[ARGMAX]);
        bs_put_maxpool_backward(h, io->d_in_write[X], &x, &y, &argmax, &dy, &dx, &win);
    } else {
        bs_put_nothing(h, io->d_in_write[X], &dx);
        bs_avgpool2d_backward_batch(h, &x, &y, &dx, &dy, &win);
    }
}

const bs_layer_type bs_layer_pooling2d = {
    .name = "Pooling2D",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(pooling2d),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
