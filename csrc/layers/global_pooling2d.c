/* global_pooling2d.c - GlobalPooling2D: the maximum or the mean of each channel over the whole
 * image; pooling with one window, as large as the image. */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { ARGMAX };
enum { MAX, AVG };

typedef struct {
    int type;
} global_pooling2d;

static const bs_option options[] = {
    {"type", BS_OPT_CHOICE, offsetof(global_pooling2d, type), "max", "max avg"}, {0}};
static const bs_port inputs[] = {{"default", "T B H W C", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const global_pooling2d *self = state;
    const bs_shape y = bs_time_shape(layer->in.buffer[X].shape.dim[2]);
    BS_TRY(bs_add_output(layer, "default", y, err));
    return self->type == MAX ? bs_add_internal(layer, "argmax", y, err) : BS_OK;
}

/* The window that covers images x (N, H, W, C). */
static bs_window whole_image(const bs_array *x)
{
    return (bs_window){.rows = x->dim[1], .cols = x->dim[2], .stride_rows = 1, .stride_cols = 1};
}

/* (T, B, C) as images of one pixel, (T*B, 1, 1, C) */
static bs_array one_pixel_images(const bs_array *a)
{
    bs_array out = bs_flat(a);
    out.ndim = 4;
    out.dim[3] = out.dim[1];
    out.dim[1] = out.dim[2] = 1;
    return out;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const global_pooling2d *self = state;
    const bs_array x = bs_images(&io->in[X]), y = one_pixel_images(&io->out[Y]);
    const bs_window win = whole_image(&x);
    if (self->type == MAX) {
        const bs_array argmax = one_pixel_images(&io->inner[ARGMAX]);
        bs_maxpool2d_forward_batch(h, &x, &y, &argmax, &win);
    } else {
        bs_avgpool2d_forward_batch(h, &x, &y, &win);
    }
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const global_pooling2d *self = state;
    const bs_array x = bs_images(&io->in[X]), dx = bs_images(&io->d_in[X]);
    const bs_array y = one_pixel_images(&io->out[Y]), dy = one_pixel_images(&io->d_out[Y]);
    const bs_window win = whole_image(&x);
    if (io->d_in_write[X] == BS_SKIP)
        return;
    if (self->type == MAX) {
        const bs_array argmax = one_pixel_images(&io->inner[ARGMAX]);
        bs_put_maxpool_backward(h, io->d_in_write[X], &x, &y, &argmax, &dy, &dx, &win);
    } else {
        bs_put_nothing(h, io->d_in_write[X], &dx);
        bs_avgpool2d_backward_batch(h, &x, &y, &dx, &dy, &win);
    }
}

const bs_layer_type bs_layer_global_pooling2d = {
    .name = "GlobalPooling2D",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(global_pooling2d),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
