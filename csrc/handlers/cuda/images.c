/* images.c - operations of kernels/images.cu. A convolution that cuDNN does not do (convolution.c)
 * is a product of copied windows, made for as many images at a time as fit into some scratch
 * memory. */
#include "handlers/argmax.h"
#include "handlers/cuda/cuda.h"

enum { WINDOWS_BYTES = 64 << 20 };

/* ---- shapes ---- */

/* An array as a packed matrix. */
static bs_cuda_view packed(bs_handler *h, const bs_array *a, int64_t rows, int64_t cols)
{
    bs_cuda_view view = bs_cuda_matrix(h, a, bs_is_packed(a) ? a->ndim - 1 : 0);
    view.matrix = bs_array_packed(view.matrix.data, h->dtype, 2, (const int64_t[]){rows, cols});
    view.matrix = bs_with_lead(&view.matrix, 1);
    return view;
}

/* Images as rows of pixels. */
static bs_cuda_view pixels(bs_handler *h, const bs_array *images)
{
    return packed(h, images, bs_count(images) / images->dim[3], images->dim[3]);
}

/* Weights of a convolution as rows of filters. */
static bs_cuda_view filters(bs_handler *h, const bs_array *weights)
{
    return packed(h, weights, weights->dim[0], bs_count(weights) / weights->dim[0]);
}

static bs_launch over(const bs_array *places)
{
    return bs_launch_over(places->dim[0], places->dim[1]);
}

static void give_shapes(bs_launch *l, const bs_array *images, const bs_array *out, int64_t rows,
                        int64_t cols, const bs_window *w)
{
    const int64_t sizes[] = {images->dim[1], images->dim[2], images->dim[3], out->dim[1],
                             out->dim[2],    rows,           cols,           w->stride_rows,
                             w->stride_cols, w->padding};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        l->args.size[2 + i] = sizes[i];
}

/* ---- pooling ---- */

static void maxpool2d_forward_batch(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                    const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    if (bs_count(outputs) == 0 || !bs_can_tell_places(h, "maxpool2d_forward_batch", inputs))
        return;
    const bs_cuda_view in = pixels(h, inputs), out = pixels(h, outputs), arg = pixels(h, argmax);
    bs_launch l = over(&out.matrix);
    give_shapes(&l, inputs, outputs, w->rows, w->cols, w);
    bs_launch_array(&l, 0, &in.matrix);
    bs_launch_array(&l, 1, &out.matrix);
    bs_launch_array(&l, 2, &arg.matrix);
    bs_launch_places(h, BS_KERNEL_maxpool2d_forward, &l);
    bs_cuda_copy_back(h, &out);
    bs_cuda_copy_back(h, &arg);
    bs_scratch_release(h, mark);
}

static void check_argmax(bs_handler *h, const char *op, const bs_launch *shapes,
                         const bs_array *argmax)
{
    bs_launch l = *shapes;
    l.args.size[0] = argmax->dim[0];
    bs_launch_array(&l, 0, argmax);
    if (bs_cuda_may_report(h, &l, BS_CUDA_ARGMAX, op, 0))
        bs_launch_places(h, BS_KERNEL_check_argmax, &l);
}

static void max_backward(bs_handler *h, const char *op, bs_a_ argmax, bs_a_ in_deltas,
                         bs_a_ out_deltas, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    if (bs_count(in_deltas) == 0 || !bs_can_tell_places(h, op, in_deltas))
        return;
    const bs_cuda_view in = pixels(h, in_deltas), out = pixels(h, out_deltas),
                       arg = pixels(h, argmax);
    bs_launch l = over(&in.matrix);
    give_shapes(&l, in_deltas, out_deltas, w->rows, w->cols, w);
    bs_launch_array(&l, 0, &arg.matrix);
    bs_launch_array(&l, 1, &out.matrix);
    bs_launch_array(&l, 2, &in.matrix);
    check_argmax(h, op, &l, &arg.matrix);
    bs_launch_places(h, BS_KERNEL_maxpool2d_backward, &l);
    bs_cuda_copy_back(h, &in);
    bs_scratch_release(h, mark);
}

static void maxpool2d_backward_batch(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                     bs_a_ in_deltas, bs_a_ out_deltas, const bs_window *w)
{
    (void)inputs, (void)outputs;
    max_backward(h, "maxpool2d_backward_batch", argmax, in_deltas, out_deltas, w);
}

static void maxpool2d_backward_set(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                   bs_a_ in_deltas, bs_a_ out_deltas, const bs_window *w)
{
    (void)inputs, (void)outputs;
    bs_fill(h, in_deltas, 0);
    max_backward(h, "maxpool2d_backward_set", argmax, in_deltas, out_deltas, w);
}

/* `to`: the windows' averages, or what falls to each pixel of their deltas. */
static void average(bs_handler *h, bs_cuda_kernel kernel, bs_a_ images, bs_a_ windows, bs_a_ from,
                    bs_a_ to, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    if (bs_count(to) == 0)
        return;
    const bs_cuda_view in = pixels(h, from), out = pixels(h, to);
    bs_launch l = over(&out.matrix);
    give_shapes(&l, images, windows, w->rows, w->cols, w);
    bs_launch_array(&l, 0, &in.matrix);
    bs_launch_array(&l, 1, &out.matrix);
    bs_launch_places(h, kernel, &l);
    bs_cuda_copy_back(h, &out);
    bs_scratch_release(h, mark);
}

static void avgpool2d_forward_batch(bs_handler *h, bs_a_ inputs, bs_a_ outputs, const bs_window *w)
{
    average(h, BS_KERNEL_avgpool2d_forward, inputs, outputs, inputs, outputs, w);
}

static void avgpool2d_backward_batch(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ in_deltas,
                                     bs_a_ out_deltas, const bs_window *w)
{
    (void)inputs, (void)outputs;
    average(h, BS_KERNEL_avgpool2d_backward, in_deltas, out_deltas, out_deltas, in_deltas, w);
}

/* ---- convolution ---- */

/* Some images at a time, of whose windows there is a copy. */
typedef struct windows {
    const bs_array *images, *out; /* (N, H, W, C) and (N, H', W', filters) */
    const bs_window *w;
    int64_t rows, cols; /* of the window */
    int64_t pixels;     /* H' W' */
    int64_t at_a_time;  /* images */
    bs_array matrix;    /* scratch: pixels of so many images x (line, pixel, channel) */
} windows;

static windows windows_of(bs_handler *h, const bs_array *images, const bs_array *weights,
                          const bs_array *out, const bs_window *w)
{
    windows x = {.images = images,
                 .out = out,
                 .w = w,
                 .rows = weights->dim[1],
                 .cols = weights->dim[2],
                 .pixels = out->dim[1] * out->dim[2]};
    const int64_t terms = x.rows * x.cols * images->dim[3],
                  bytes = x.pixels * terms * (int64_t)bs_dtype_size(h->dtype);
    x.at_a_time = bytes > WINDOWS_BYTES ? 1 : WINDOWS_BYTES / bytes;
    if (x.at_a_time > images->dim[0])
        x.at_a_time = images->dim[0];
    x.matrix = bs_scratch_array(h, 2, (const int64_t[]){x.at_a_time * x.pixels, terms});
    x.matrix = bs_with_lead(&x.matrix, 1);
    return x;
}

/* How many images come at a time, from this one on. */
static int64_t images_from(const windows *x, int64_t first)
{
    const int64_t left = x->images->dim[0] - first;
    return left < x->at_a_time ? left : x->at_a_time;
}

/* Rows of a matrix that belong to images first .. first + n. */
static bs_array rows_of(const bs_array *matrix, int64_t per_image, int64_t first, int64_t n)
{
    return bs_slice(matrix, first * per_image, n * per_image);
}

/* Copies the windows of images to scratch, or adds what scratch holds to deltas of images. */
static bs_array move_windows(bs_handler *h, bs_cuda_kernel kernel, const windows *x,
                             const bs_array *image_pixels, int64_t first, int64_t n)
{
    const bs_array part = rows_of(image_pixels, x->images->dim[1] * x->images->dim[2], first, n),
                   matrix = rows_of(&x->matrix, x->pixels, 0, n);
    const int into_windows = kernel == BS_KERNEL_copy_windows;
    bs_launch l = over(into_windows ? &matrix : &part);
    give_shapes(&l, x->images, x->out, x->rows, x->cols, x->w);
    bs_launch_array(&l, !into_windows, &part);
    bs_launch_array(&l, into_windows, &matrix);
    bs_launch_places(h, kernel, &l);
    return matrix;
}

/* The memory of a view in the shape of the array that it is a view of. */
static bs_array in_shape(const bs_cuda_view *view)
{
    return bs_array_packed(view->matrix.data, view->matrix.dtype, view->given->ndim,
                           view->given->dim);
}

/* One of the three is computed from the others, as `kind` says, if cuDNN can. */
static int convolve(bs_handler *h, int kind, const bs_cuda_view *images,
                    const bs_cuda_view *weights, const bs_cuda_view *out, const bs_window *w)
{
    const bs_array i = in_shape(images), f = in_shape(weights), o = in_shape(out);
    return bs_cuda_convolve(h, kind, &i, &f, &o, w);
}

static void multiply_windows(bs_handler *h, const bs_cuda_view *in, const bs_cuda_view *weights,
                             const bs_cuda_view *out, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    const windows x = windows_of(h, in->given, weights->given, out->given, w);
    for (int64_t i = 0; i < x.images->dim[0] && h->error.code == BS_OK; i += x.at_a_time) {
        const int64_t n = images_from(&x, i);
        const bs_array terms = move_windows(h, BS_KERNEL_copy_windows, &x, &in->matrix, i, n),
                       y = rows_of(&out->matrix, x.pixels, i, n);
        bs_cuda_multiply(h, &terms, &weights->matrix, &y, 0, 1, 0);
    }
    bs_scratch_release(h, mark);
}

static void conv2d_forward_act(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ bias,
                               bs_a_ outputs, int activation, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    if (bs_count(outputs) == 0)
        return;
    const bs_cuda_view out = pixels(h, outputs);
    if (bs_count(weights) > 0) {
        const bs_cuda_view in = pixels(h, inputs), wv = filters(h, weights);
        if (!convolve(h, BS_CUDNN_FORWARD, &in, &wv, &out, w))
            multiply_windows(h, &in, &wv, &out, w);
    } else { /* images without channels */
        bs_fill(h, &out.matrix, 0);
    }
    bs_cuda_add_bias_activate(h, &out.matrix, bias, activation);
    bs_cuda_copy_back(h, &out);
    bs_scratch_release(h, mark);
}

static void conv2d_forward_batch(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ bias,
                                 bs_a_ outputs, const bs_window *w)
{
    conv2d_forward_act(h, inputs, weights, bias, outputs, BS_LINEAR, w);
}

/* dweights = what windows of the inputs and deltas make of them */
static void multiply_deltas(bs_handler *h, const bs_cuda_view *in, const bs_cuda_view *dweights,
                            const bs_cuda_view *dout, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    const windows x = windows_of(h, in->given, dweights->given, dout->given, w);
    for (int64_t i = 0; i < x.images->dim[0] && h->error.code == BS_OK; i += x.at_a_time) {
        const int64_t n = images_from(&x, i);
        const bs_array terms = move_windows(h, BS_KERNEL_copy_windows, &x, &in->matrix, i, n),
                       dy = rows_of(&dout->matrix, x.pixels, i, n);
        bs_cuda_multiply(h, &dy, &terms, &dweights->matrix, 1, 0, i > 0);
    }
    bs_scratch_release(h, mark);
}

/* din += what windows of deltas are for the images */
static void add_deltas(bs_handler *h, const bs_cuda_view *din, const bs_cuda_view *weights,
                       const bs_cuda_view *dout, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    const windows x = windows_of(h, din->given, weights->given, dout->given, w);
    for (int64_t i = 0; i < x.images->dim[0] && h->error.code == BS_OK; i += x.at_a_time) {
        const int64_t n = images_from(&x, i);
        const bs_array dy = rows_of(&dout->matrix, x.pixels, i, n),
                       terms = rows_of(&x.matrix, x.pixels, 0, n);
        bs_cuda_multiply(h, &dy, &weights->matrix, &terms, 0, 0, 0);
        move_windows(h, BS_KERNEL_add_windows, &x, &din->matrix, i, n);
    }
    bs_scratch_release(h, mark);
}

static void conv2d_backward_batch(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ in_deltas,
                                  bs_a_ out_deltas, bs_a_ weight_deltas, bs_a_ bias_deltas,
                                  const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    if (bs_count(out_deltas) == 0) {
        bs_fill(h, weight_deltas, 0);
        bs_fill(h, bias_deltas, 0);
        return;
    }
    const bs_cuda_view dout = pixels(h, out_deltas);
    if (bs_count(weights) > 0) {
        const bs_cuda_view in = pixels(h, inputs), dwv = filters(h, weight_deltas);
        if (!convolve(h, BS_CUDNN_BACKWARD_FILTER, &in, &dwv, &dout, w))
            multiply_deltas(h, &in, &dwv, &dout, w);
        bs_cuda_copy_back(h, &dwv);
    }
    if (in_deltas->data && bs_count(weights) > 0) {
        const bs_cuda_view din = pixels(h, in_deltas), wv = filters(h, weights);
        if (!convolve(h, BS_CUDNN_BACKWARD_DATA, &din, &wv, &dout, w))
            add_deltas(h, &din, &wv, &dout, w);
        bs_cuda_copy_back(h, &din);
    }
    bs_cuda_sum_columns(h, &dout.matrix, NULL, bias_deltas, 0);
    bs_scratch_release(h, mark);
}

void bs_cuda_fill_images(bs_ops *ops)
{
    ops->conv2d_forward_batch = conv2d_forward_batch;
    ops->conv2d_forward_act = conv2d_forward_act;
    ops->conv2d_backward_batch = conv2d_backward_batch;
    ops->maxpool2d_forward_batch = maxpool2d_forward_batch;
    ops->maxpool2d_backward_batch = maxpool2d_backward_batch;
    ops->maxpool2d_backward_set = maxpool2d_backward_set;
    ops->avgpool2d_forward_batch = avgpool2d_forward_batch;
    ops->avgpool2d_backward_batch = avgpool2d_backward_batch;
}
