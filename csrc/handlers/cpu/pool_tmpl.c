/* pool_tmpl.c - pooling. A window is clipped to the image, so padding never wins and is never
 * counted.
 *
 * max: the first of the largest values in row-major order wins, the first NaN before all others;
 * argmax is its place (y*W + x)*C + c inside the image, -1 (and the output 0) for a window without
 * a pixel. */
#include "handlers/cpu/images.h"

typedef struct pool_job {
    images in, out, argmax; /* backward: deltas */
    bs_window w;
    int64_t lowest; /* image with a wrong argmax */
} pool_job;

typedef struct clipped {
    int64_t top, bottom, left, right;
} clipped; /* rows [top, bottom), columns [left, right) */

static clipped clip_window(const pool_job *j, int64_t row, int64_t col)
{
    const int64_t y = row * j->w.stride_rows - j->w.padding,
                  x = col * j->w.stride_cols - j->w.padding;
    return (clipped){.top = y > 0 ? y : 0,
                     .bottom = min64(y + j->w.rows, j->in.h),
                     .left = x > 0 ? x : 0,
                     .right = min64(x + j->w.cols, j->in.w)};
}

static int64_t pixels_in(const clipped *k)
{
    return k->bottom > k->top && k->right > k->left ? (k->bottom - k->top) * (k->right - k->left)
                                                    : 0;
}

/* Runs f for every line of every output image (row = n * H' + y). */
static void each_line(row_job_function *f, pool_job *j)
{
    K(each_row)(f, j, j->out.n * j->out.h, j->out.w * j->out.c * j->w.rows * j->w.cols);
}

/* ---- max ---- */

static void max_pixel(const pool_job *j, int64_t n, const clipped *k, real *out, real *argmax)
{
    const int channels =
        (int)j->in.c; /* an int, so that its conversion to real is a vector instruction */
    for (int c = 0; c < channels; c++)
        out[c] = 0, argmax[c] = -1;
    for (int64_t y = k->top; y < k->bottom; y++)
        for (int64_t x = k->left; x < k->right; x++) {
            const real *v = pixel_at(&j->in, n, y, x);
            const real place = (real)((y * j->in.w + x) * channels);
            BS_IVDEP
            for (int c = 0; c < channels; c++) {
                const int larger = !(v[c] <= out[c]) & (out[c] == out[c]),
                          take = (argmax[c] < 0) | larger;
                const real here = place + (real)c;
                out[c] = take ? v[c] : out[c];
                argmax[c] = take ? here : argmax[c];
            }
        }
}

static void max_line(void *job, int64_t line)
{
    const pool_job *j = job;
    const int64_t n = line / j->out.h, row = line % j->out.h;
    for (int64_t col = 0; col < j->out.w; col++) {
        const clipped k = clip_window(j, row, col);
        max_pixel(j, n, &k, pixel_at(&j->out, n, row, col), pixel_at(&j->argmax, n, row, col));
    }
}

void K(maxpool2d_forward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                const bs_window *w)
{
    pool_job j = {
        .in = images_of(inputs), .out = images_of(outputs), .argmax = images_of(argmax), .w = *w};
    (void)h;
    each_line(max_line, &j);
}

/* The element at `place`, counted as argmax does, of image n. */
static real *element_at(const images *x, int64_t n, int64_t place)
{
    if (x->pixel == x->c && x->line == x->w * x->c)
        return x->data + n * x->image + place;
    const int64_t pixel = place / x->c;
    return pixel_at(x, n, pixel / x->w, pixel % x->w) + place % x->c;
}

static void max_back_image(void *job, int64_t n)
{
    pool_job *j = job;
    const int64_t size = j->in.h * j->in.w * j->in.c;
    for (int64_t row = 0; row < j->out.h; row++)
        for (int64_t col = 0; col < j->out.w; col++) {
            const real *d = pixel_at(&j->out, n, row, col),
                       *argmax = pixel_at(&j->argmax, n, row, col);
            for (int64_t c = 0; c < j->out.c; c++) {
                if (argmax[c] == -1)
                    continue;
                if (!is_id(argmax[c], size)) {
                    note_row(&j->lowest, n);
                    continue;
                }
                *element_at(&j->in, n, (int64_t)argmax[c]) += d[c];
            }
        }
}

void K(maxpool2d_backward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                 bs_a_ in_deltas, bs_a_ out_deltas, const bs_window *w)
{
    pool_job j = {.in = images_of(in_deltas),
                  .out = images_of(out_deltas),
                  .argmax = images_of(argmax),
                  .w = *w,
                  .lowest = INT64_MAX};
    (void)inputs, (void)outputs;
    K(each_row)(max_back_image, &j, j.out.n, 4 * j.out.h * j.out.w * j.out.c);
    if (j.lowest != INT64_MAX)
        bs_fail(&h->error, BS_INDEX,
                "maxpool2d_backward_batch: argmax of image %lld is out of range [-1, %lld)",
                (long long)j.lowest, (long long)(j.in.h * j.in.w * j.in.c));
}

/* ---- mean ---- */

static void mean_line(void *job, int64_t line)
{
    const pool_job *j = job;
    const int64_t n = line / j->out.h, row = line % j->out.h, channels = j->in.c;
    for (int64_t col = 0; col < j->out.w; col++) {
        const clipped k = clip_window(j, row, col);
        const int64_t pixels = pixels_in(&k);
        real *out = pixel_at(&j->out, n, row, col);
        memset(out, 0, (size_t)channels * sizeof(real));
        for (int64_t y = k.top; y < k.bottom; y++)
            for (int64_t x = k.left; x < k.right; x++) {
                const real *v = pixel_at(&j->in, n, y, x);
                for (int64_t c = 0; c < channels; c++)
                    out[c] += v[c];
            }
        for (int64_t c = 0; c < channels && pixels; c++)
            out[c] /= (real)pixels;
    }
}

void K(avgpool2d_forward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, const bs_window *w)
{
    pool_job j = {.in = images_of(inputs), .out = images_of(outputs), .w = *w};
    (void)h;
    each_line(mean_line, &j);
}

static void mean_back_image(void *job, int64_t n)
{
    const pool_job *j = job;
    for (int64_t row = 0; row < j->out.h; row++)
        for (int64_t col = 0; col < j->out.w; col++) {
            const clipped k = clip_window(j, row, col);
            const real *d = pixel_at(&j->out, n, row, col), pixels = (real)pixels_in(&k);
            for (int64_t y = k.top; y < k.bottom; y++)
                for (int64_t x = k.left; x < k.right; x++) {
                    real *to = pixel_at(&j->in, n, y, x);
                    for (int64_t c = 0; c < j->in.c; c++)
                        to[c] += d[c] / pixels;
                }
        }
}

void K(avgpool2d_backward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ in_deltas,
                                 bs_a_ out_deltas, const bs_window *w)
{
    pool_job j = {.in = images_of(in_deltas), .out = images_of(out_deltas), .w = *w};
    (void)h, (void)inputs, (void)outputs;
    K(each_row)(mean_back_image, &j, j.out.n, j.out.h * j.out.w * j.out.c * w->rows * w->cols);
}
