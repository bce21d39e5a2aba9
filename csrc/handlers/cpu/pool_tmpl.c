/* pool_tmpl.c - pooling. A window is clipped to the image, so padding never wins and is never
 * counted.
 *
 * max: the first of the largest values in row-major order wins, the first NaN before all others;
 * argmax is its place (y*W + x)*C + c inside the image, -1 (and the output 0) for a window without
 * a pixel. Images with more places than `real` has whole numbers in a row are refused. */
#include "handlers/argmax.h"
#include "handlers/cpu/images.h"

enum { MANY_IMAGES = 16 }; /* with fewer, the channels are cut as well */

typedef struct pool_job {
    images in, out, argmax; /* backward: deltas */
    bs_window w;
    int64_t bands, band; /* of the channels, backward */
    int set;             /* in_deltas are set, not added to */
    int64_t lowest;      /* image with a wrong argmax */
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

static vec choose(lanes which, vec a, vec b)
{
    return (vec)((which & (lanes)a) | (~which & (lanes)b));
}

/* n channels from x on, of a vector; `rest` in the others. */
static inline vec load(const real *x, int64_t n, real rest)
{
    real out[VEC];
    if (n >= VEC)
        return *(const vec *)x;
    for (int64_t i = 0; i < VEC; i++)
        out[i] = i < n ? x[i] : rest;
    return *(const vec *)out;
}

static inline void store(real *x, int64_t n, vec value)
{
    if (n >= VEC)
        *(vec *)x = value;
    else
        memcpy(x, &value, (size_t)n * sizeof(real));
}

/* What argmax is for the channels from c on of a pixel. Their places in the next pixel of the line
 * are in.c further. */
static vec places(const pool_job *j, int64_t y, int64_t x, int64_t c)
{
    static const real number[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return *(const vec *)number + (real)((y * j->in.w + x) * j->in.c + c);
}

/* A vector of channels of one window that has a pixel. */
static void max_channels(const pool_job *j, int64_t n, const clipped *k, int64_t c, real *out,
                         real *argmax)
{
    const int64_t left = j->in.c - c;
    vec best = load(pixel_at(&j->in, n, k->top, k->left) + c, left, 0),
        place = places(j, k->top, k->left, c);
    for (int64_t y = k->top; y < k->bottom; y++) {
        const real *x = pixel_at(&j->in, n, y, k->left) + c;
        vec here = places(j, y, k->left, c);
        for (int64_t i = k->left; i < k->right; i++) {
            const vec v = load(x, left, 0);
            const lanes larger = ~(v <= best) & (best == best);
            best = choose(larger, v, best);
            place = choose(larger, here, place);
            x += j->in.pixel;
            here += (real)j->in.c;
        }
    }
    store(out + c, left, best);
    store(argmax + c, left, place);
}

static void max_line(void *job, int64_t line)
{
    const pool_job *j = job;
    const int64_t n = line / j->out.h, row = line % j->out.h;
    for (int64_t col = 0; col < j->out.w; col++) {
        const clipped k = clip_window(j, row, col);
        real *out = pixel_at(&j->out, n, row, col), *argmax = pixel_at(&j->argmax, n, row, col);
        for (int64_t c = 0; c < j->in.c && pixels_in(&k); c += VEC)
            max_channels(j, n, &k, c, out, argmax);
        for (int64_t c = 0; c < j->in.c && !pixels_in(&k); c++)
            out[c] = 0, argmax[c] = -1;
    }
}

void K(maxpool2d_forward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                const bs_window *w)
{
    pool_job j = {
        .in = images_of(inputs), .out = images_of(outputs), .argmax = images_of(argmax), .w = *w};
    if (bs_can_tell_places(h, "maxpool2d_forward_batch", inputs))
        each_line(max_line, &j);
}

/* Adds what a vector of channels of one window has to pass on. Returns the channels whose argmax is
 * no place in the window. */
BS_INLINE lanes pass_on(const pool_job *j, int64_t n, int64_t row, int64_t col, int64_t c)
{
    const clipped k = clip_window(j, row, col);
    const int64_t left = j->in.c - c;
    const vec d = load(pixel_at(&j->out, n, row, col) + c, left, 0),
              argmax = load(pixel_at(&j->argmax, n, row, col) + c, left, -1);
    lanes known = argmax == -1;
    for (int64_t y = k.top; y < k.bottom; y++) {
        real *to = pixel_at(&j->in, n, y, k.left) + c;
        vec here = places(j, y, k.left, c);
        for (int64_t i = k.left; i < k.right; i++) {
            const lanes chosen = argmax == here;
            store(to, left, load(to, left, 0) + (vec)(chosen & (lanes)d));
            known |= chosen;
            to += j->in.pixel;
            here += (real)j->in.c;
        }
    }
    return ~known;
}

BS_INLINE void zero_channels(const pool_job *j, int64_t n, int64_t c, int64_t end)
{
    for (int64_t y = 0; y < j->in.h; y++) {
        real *line = pixel_at(&j->in, n, y, 0);
        if (end - c == j->in.pixel)
            memset(line, 0, (size_t)(j->in.w * j->in.c) * sizeof(real));
        else
            for (int64_t x = 0; x < j->in.w; x++)
                memset(line + x * j->in.pixel + c, 0, (size_t)(end - c) * sizeof(real));
    }
}

/* A band of channels of an image: job n * bands + band. */
static void max_back(void *job, int64_t at)
{
    pool_job *shared = job;
    const pool_job j = *shared; /* a copy that no store can change, so it stays in registers */
    const int64_t n = at / j.bands, start = at % j.bands * j.band,
                  end = min64(start + j.band, j.in.c);
    lanes wrong = {0};
    if (j.set)
        zero_channels(&j, n, start, end);
    for (int64_t row = 0; row < j.out.h; row++)
        for (int64_t col = 0; col < j.out.w; col++)
            for (int64_t c = start; c < end; c += VEC)
                wrong |= pass_on(&j, n, row, col, c);
    for (int i = 0; i < VEC; i++)
        if (wrong[i])
            note_row(&shared->lowest, n);
}

static void max_backward(bs_handler *h, const char *op, bs_a_ argmax, bs_a_ in_deltas,
                         bs_a_ out_deltas, const bs_window *w, int set)
{
    pool_job j = {.in = images_of(in_deltas),
                  .out = images_of(out_deltas),
                  .argmax = images_of(argmax),
                  .w = *w,
                  .set = set,
                  .lowest = INT64_MAX};
    if (!bs_count(in_deltas) || !bs_can_tell_places(h, op, in_deltas))
        return;
    j.band = j.in.n < MANY_IMAGES ? VEC : j.in.c;
    j.bands = div_up(j.in.c, j.band);
    const int64_t cost = j.in.h * j.in.w + j.out.h * j.out.w * w->rows * w->cols;
    K(each_row)(max_back, &j, j.out.n * j.bands, cost * j.band);
    if (j.lowest != INT64_MAX)
        bs_fail(&h->error, BS_INDEX,
                "%s: argmax of image %lld is neither -1 nor a place in its window", op,
                (long long)j.lowest);
}

void K(maxpool2d_backward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                 bs_a_ in_deltas, bs_a_ out_deltas, const bs_window *w)
{
    (void)inputs, (void)outputs;
    max_backward(h, "maxpool2d_backward_batch", argmax, in_deltas, out_deltas, w, 0);
}

void K(maxpool2d_backward_set)(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                               bs_a_ in_deltas, bs_a_ out_deltas, const bs_window *w)
{
    (void)inputs, (void)outputs;
    max_backward(h, "maxpool2d_backward_set", argmax, in_deltas, out_deltas, w, 1);
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
