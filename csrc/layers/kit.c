/* kit.c - checks of ports, views, writing by mark and shared maths, for layers. */
#include "layers/kit.h"

bs_status bs_want_shape(const bs_layer *layer, int port, const bs_shape *want, const char *meaning,
                        bs_error *err)
{
    const bs_buffer *input = &layer->in.buffer[port];
    char got[120], wanted[120];
    if (bs_shape_equal(&input->shape, want))
        return BS_OK;
    bs_shape_text(got, sizeof got, &input->shape);
    bs_shape_text(wanted, sizeof wanted, want);
    return bs_fail(err, BS_LAYER, "input '%s' has shape %s, expected %s: %s", input->name, got,
                   wanted, meaning);
}

bs_array bs_steps(const bs_array *a, int64_t start, int64_t n)
{
    return bs_slice(a, start, n);
}

bs_array bs_step(const bs_array *a, int64_t t)
{
    const bs_array step = bs_at(a, t < 0 ? a->dim[0] + t : t);
    return bs_matrix(&step, 1);
}

bs_array bs_flat(const bs_array *a)
{
    return bs_matrix(a, a->lead);
}

bs_array bs_pixels(const bs_array *a)
{
    return bs_matrix(a, a->ndim - 1);
}

bs_array bs_vector(const bs_array *a)
{
    return bs_matrix(a, 0);
}

bs_array bs_images(const bs_array *a)
{
    const int first = a->ndim - 3; /* dimensions in front of H, W, C */
    bs_array out = a->lead < first ? bs_with_lead(a, first) : *a;
    int64_t n = 1;
    for (int i = 0; i < first; i++)
        n *= out.dim[i];
    out.dim[0] = n;
    for (int i = 0; i < 3; i++)
        out.dim[1 + i] = a->dim[first + i];
    out.lead = (int8_t)(out.lead - first + 1);
    out.ndim = 4;
    return out;
}

bs_window bs_window_of(const bs_window_options *options)
{
    return (bs_window){
        .rows = options->kernel_size[0],
        .cols = options->kernel_size[1],
        .stride_rows = options->stride[0],
        .stride_cols = options->stride[1],
        .padding = options->padding,
    };
}

bs_status bs_window_output(const bs_shape *in, const bs_window *window, int64_t channels,
                           bs_shape *out, bs_error *err)
{
    const int64_t most = INT64_MAX / 4;
    const int64_t height = window->padding > most ? -1
                                                  : in->dim[0] + 2 * window->padding - window->rows;
    const int64_t width = window->padding > most ? -1
                                                 : in->dim[1] + 2 * window->padding - window->cols;
    if (height < 0 || width < 0)
        return bs_fail(
            err, BS_LAYER,
            "a window of (%lld, %lld) does not fit on images of (%lld, %lld) with padding %lld",
            (long long)window->rows, (long long)window->cols, (long long)in->dim[0],
            (long long)in->dim[1], (long long)window->padding);
    *out = *in;
    out->dim[0] = height / window->stride_rows + 1;
    out->dim[1] = width / window->stride_cols + 1;
    out->dim[2] = channels;
    return BS_OK;
}

bs_status bs_want_ids(int64_t n, const char *what, bs_error *err)
{
    const int64_t most = 1 << 24;
    if (n <= most)
        return BS_OK;
    return bs_fail(err, BS_LAYER, "%s is %lld, but ids are told apart up to %lld only", what,
                   (long long)n, (long long)most);
}

void bs_put(bs_handler *h, bs_write write, const bs_array *a, const bs_array *out)
{
    if (write == BS_SET)
        bs_copy_to(h, a, out);
    else if (write == BS_ADD)
        bs_add_tt(h, a, out, out);
}

void bs_put_mult(bs_handler *h, bs_write write, const bs_array *a, const bs_array *b,
                 const bs_array *out)
{
    if (write == BS_SET)
        bs_mult_tt(h, a, b, out);
    else if (write == BS_ADD)
        bs_mult_add_tt(h, a, b, out);
}

void bs_put_mult_mv(bs_handler *h, bs_write write, const bs_array *m, const bs_array *v,
                    const bs_array *out)
{
    if (write == BS_SET)
        bs_mult_mv(h, m, v, out);
    else if (write == BS_ADD)
        bs_mult_add_mv(h, m, v, out);
}

void bs_put_dot(bs_handler *h, bs_write write, const bs_array *a, int trans_a, const bs_array *b,
                int trans_b, const bs_array *out)
{
    if (write == BS_SET)
        bs_dot_mm(h, a, b, out, trans_a, trans_b);
    else if (write == BS_ADD)
        bs_dot_add_mm(h, a, b, out, trans_a, trans_b);
}

void bs_put_weight_gradient(bs_handler *h, const bs_io *io, int param, const bs_array *a,
                            const bs_array *b)
{
    const bs_array gradient = bs_matrix(&io->d_param[param], 1);
    if (!io->update || io->d_param_write[param] != BS_SET) {
        bs_put_dot(h, io->d_param_write[param], a, BS_TRANS, b, BS_NO_TRANS, &gradient);
        return;
    }
    const bs_array w = bs_matrix(&io->param[param], 1), v = bs_matrix(&io->velocity[param], 1);
    bs_dot_momentum_step(h, io->update->rate, io->update->momentum, a, b, &gradient, &v, &w,
                         BS_TRANS, BS_NO_TRANS);
    io->is_updated[param] = 1;
}

void bs_put_column_sums(bs_handler *h, bs_write write, const bs_array *a, const bs_array *out)
{
    if (write == BS_SET) {
        bs_sum_t(h, a, 0, out);
    } else if (write == BS_ADD) {
        const bs_mark mark = bs_scratch_mark(h);
        const bs_array sums = bs_scratch_like(h, out);
        bs_sum_t(h, a, 0, &sums);
        bs_add_tt(h, &sums, out, out);
        bs_scratch_release(h, mark);
    }
}

void bs_put_maxpool_backward(bs_handler *h, bs_write write, const bs_array *x, const bs_array *y,
                             const bs_array *argmax, const bs_array *dy, const bs_array *out,
                             const bs_window *window)
{
    if (write == BS_SET)
        bs_maxpool2d_backward_set(h, x, y, argmax, out, dy, window);
    else if (write == BS_ADD)
        bs_maxpool2d_backward_batch(h, x, y, argmax, out, dy, window);
}

void bs_put_nothing(bs_handler *h, bs_write write, const bs_array *out)
{
    if (write == BS_SET)
        bs_fill(h, out, 0.0);
}

void bs_put_activate_deriv(bs_handler *h, bs_write write, int activation, const bs_array *y,
                           const bs_array *dy, const bs_array *dx)
{
    if (write == BS_SET)
        bs_activate_deriv(h, activation, y, dy, dx);
    else if (write == BS_ADD)
        bs_activate_deriv_add(h, activation, y, dy, dx);
}

void bs_one_minus(bs_handler *h, const bs_array *a, const bs_array *out)
{
    bs_mult_st(h, -1.0, a, out);
    bs_add_st(h, 1.0, out, out);
}

/* ln(clip(p, 1e-6, 1)) */
static void clipped_log(bs_handler *h, const bs_array *p, const bs_array *out)
{
    bs_clip_t(h, p, 1e-6, 1.0, out);
    bs_log_t(h, out, out);
}

void bs_log_likelihood(bs_handler *h, const bs_array *y, const bs_array *t, const bs_array *out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, out);
    bs_one_minus(h, y, &part);
    clipped_log(h, &part, &part);
    bs_one_minus(h, t, out);
    bs_mult_tt(h, &part, out, out);
    clipped_log(h, y, &part);
    bs_mult_add_tt(h, t, &part, out);
    bs_scratch_release(h, mark);
}
