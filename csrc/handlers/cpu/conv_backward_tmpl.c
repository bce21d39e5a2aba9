/* conv_backward_tmpl.c - convolution backward.
 *
 *   in_deltas[n, y*sy + i - p, x*sx + j - p, c] += sum over f of out_deltas[n, y, x, f] *
 * weights[f, i, j, c] weight_deltas[f, i, j, c] = sum over n, y, x of out_deltas[n, y, x, f] *
 * inputs[n, y*sy + i - p, x*sx + j - p, c] bias_deltas[f]            = sum over n, y, x of
 * out_deltas[n, y, x, f]
 *
 * As forward, everything is register tiles over zero-padded images in the scratch of a thread,
 * where for one line i of the window the kw*C values of a pixel follow each other.
 *
 * weight_deltas: MR filters times NR of these values, summed over all pixels of an image. The batch
 * is cut into a fixed number of parts, whose sums are added in order. in_deltas, if the stride is 1
 * and the channels fill a tile: a correlation of the padded out_deltas with the window turned by
 * 180 degrees. Else MR pixels times NR of these values are added to a padded image, which is added
 * to in_deltas at the end; with few channels this wastes less. */
#include "handlers/cpu/images.h"

enum { MAX_PARTS = 16 };

typedef struct back_job {
    images in, d_in, d_out;
    int64_t kh, kw, padding, stride_rows, stride_cols;
    int64_t lines, line;  /* of a padded image, and elements of a line */
    int64_t span, panels; /* kw * C, and panels of NR in it */
    real *copies;         /* padded images, for each thread */
    int64_t copy_size;
    const real *weights;        /* kh x panels x F x NR */
    int64_t parts, part_images; /* of the batch */
    real *part;                 /* parts x (F x kh*kw*C weight deltas, F bias deltas) */
    int64_t part_size;
} back_job;

/* ---- in_deltas, by correlation ---- */

static int can_correlate(const back_job *j)
{
    return j->stride_rows == 1 && j->stride_cols == 1 && 2 * j->in.c >= NR && j->padding < j->kh &&
           j->padding < j->kw;
}

static void correlate_deltas(bs_handler *h, const back_job *j, bs_a_ weights, bs_a_ in_deltas)
{
    const bs_array w_rows = with_rows(h, weights, 1), w = bs_matrix(&w_rows, 1);
    const int64_t filters = j->d_out.c, channels = j->in.c, panels = div_up(channels, NR),
                  window = j->kh * j->kw;
    real *packed = bs_scratch_take(h, (size_t)(panels * window * filters * NR) * sizeof(real));
    if (!w.data || !packed)
        return;
    for (int64_t p = 0; p < panels; p++)
        for (int64_t at = 0; at < window; at++)
            K(pack_panel)
    (packed + (p * window + at) * filters * NR,
     (const real *)w.data + (window - 1 - at) * channels + p * NR, filters,
     min64(NR, channels - p * NR), w.pitch, 1);
    K(correlate)
    (h, &(correlation){.in = j->d_out,
                       .out = images_of(in_deltas),
                       .kh = j->kh,
                       .kw = j->kw,
                       .pad_rows = j->kh - 1 - j->padding,
                       .pad_cols = j->kw - 1 - j->padding,
                       .stride_rows = 1,
                       .stride_cols = 1,
                       .weights = packed,
                       .add = 1});
}

/* ---- in_deltas, by adding ---- */

/* Adds the products of all pixels with one panel of line i of the window. */
static void add_panel(const back_job *j, int64_t n, int64_t i, int64_t panel, real *copy)
{
    const tile_loop loop = {.segments = 1, .length = j->d_out.c, .a_step = 1, .b_step = NR};
    const real *weights = j->weights + (i * j->panels + panel) * j->d_out.c * NR;
    const int64_t pixels = j->d_out.h * j->d_out.w, cols = min64(NR, j->span - panel * NR);
    int64_t row = 0, col = 0;
    for (int64_t pixel = 0; pixel < pixels; pixel += MR) {
        tile_rows rows = {.n = (int)min64(MR, pixels - pixel)};
        for (int r = 0; r < rows.n; r++) {
            rows.a[r] = pixel_at(&j->d_out, n, row, col);
            rows.out[r] = copy + (row * j->stride_rows + i) * j->line +
                          col * j->stride_cols * j->in.c + panel * NR;
            if (++col == j->d_out.w)
                col = 0, row++;
        }
        K(tile)(&loop, &rows, weights, cols, NULL, 1);
    }
}

static void input_task(void *context, int64_t n, int thread)
{
    const back_job *j = context;
    real *copy = j->copies + thread * j->copy_size;
    memset(copy, 0, (size_t)j->copy_size * sizeof(real));
    for (int64_t i = 0; i < j->kh; i++)
        for (int64_t panel = 0; panel < j->panels; panel++)
            add_panel(j, n, i, panel, copy);
    for (int64_t row = 0; row < j->d_in.h; row++) {
        for (int64_t col = 0; col < j->d_in.w; col++) {
            const real *from = copy + (row + j->padding) * j->line + (col + j->padding) * j->in.c;
            real *to = pixel_at(&j->d_in, n, row, col);
            BS_IVDEP
            for (int64_t c = 0; c < j->d_in.c; c++)
                to[c] += from[c];
        }
    }
}

static void add_deltas(bs_handler *h, back_job *j, bs_a_ weights, bs_a_ in_deltas)
{
    const bs_array w_rows = with_rows(h, weights, 1), w = bs_matrix(&w_rows, 1);
    const int64_t filters = j->d_out.c;
    real *packed = bs_scratch_take(h, (size_t)(j->kh * j->panels * filters * NR) * sizeof(real));
    if (!w.data || !packed)
        return;
    for (int64_t i = 0; i < j->kh; i++)
        for (int64_t p = 0; p < j->panels; p++)
            K(pack_panel)
    (packed + (i * j->panels + p) * filters * NR, (const real *)w.data + i * j->span + p * NR,
     filters, min64(NR, j->span - p * NR), w.pitch, 1);
    j->weights = packed;
    j->d_in = images_of(in_deltas);
    bs_parallel(j->in.n, input_task, j);
}

/* ---- weight_deltas and bias_deltas ---- */

/* Adds the sums over the pixels of image n to `out`, (F, kh*kw*C). */
static void add_weight_deltas(const back_job *j, int64_t n, const real *copy, real *out)
{
    const tile_loop loop = {.segments = j->d_out.h,
                            .length = j->d_out.w,
                            .a_step = j->d_out.pixel,
                            .a_jump = j->d_out.line,
                            .b_step = j->stride_cols * j->in.c,
                            .b_jump = j->stride_rows * j->line};
    const int64_t filters = j->d_out.c;
    for (int64_t i = 0; i < j->kh; i++)
        for (int64_t at = 0; at < j->span; at += NR)
            for (int64_t f = 0; f < filters; f += MR) {
                tile_rows rows = {.n = (int)min64(MR, filters - f)};
                for (int r = 0; r < rows.n; r++) {
                    rows.a[r] = pixel_at(&j->d_out, n, 0, 0) + f + r;
                    rows.out[r] = out + (f + r) * j->kh * j->span + i * j->span + at;
                }
                K(tile)(&loop, &rows, copy + i * j->line + at, min64(NR, j->span - at), NULL, 1);
            }
}

static void add_bias_deltas(const back_job *j, int64_t n, real *line_sum, real *out)
{
    const int64_t filters = j->d_out.c;
    for (int64_t row = 0; row < j->d_out.h; row++) {
        memset(line_sum, 0, (size_t)filters * sizeof(real));
        for (int64_t col = 0; col < j->d_out.w; col++) {
            const real *d = pixel_at(&j->d_out, n, row, col);
            for (int64_t f = 0; f < filters; f++)
                line_sum[f] += d[f];
        }
        for (int64_t f = 0; f < filters; f++)
            out[f] += line_sum[f];
    }
}

static void weight_task(void *context, int64_t part, int thread)
{
    const back_job *j = context;
    real *copy = j->copies + thread * j->copy_size, *out = j->part + part * j->part_size;
    const int64_t end = min64((part + 1) * j->part_images, j->in.n);
    memset(out, 0, (size_t)j->part_size * sizeof(real));
    for (int64_t n = part * j->part_images; n < end; n++) {
        copy_padded(&j->in, n, 0, j->lines, j->padding, j->padding, copy);
        add_weight_deltas(j, n, copy, out);
        add_bias_deltas(j, n, copy,
                        out + j->part_size - j->d_out.c); /* the copy is not needed any more */
    }
}

/* Sums of the parts, in order: filter f of the weights; in the last row the bias. */
typedef struct sum_job {
    const back_job *j;
    bs_array weight_deltas;
    real *bias_deltas;
} sum_job;

static void sum_parts_row(void *context, int64_t row)
{
    const sum_job *s = context;
    const back_job *j = s->j;
    const int is_bias = row == j->d_out.c;
    const int64_t n = is_bias ? j->d_out.c : j->kh * j->span;
    real *out = is_bias ? s->bias_deltas
                        : (real *)s->weight_deltas.data + row * s->weight_deltas.pitch;
    memset(out, 0, (size_t)n * sizeof(real));
    for (int64_t part = 0; part < j->parts; part++) {
        const real *x = j->part + part * j->part_size + row * j->kh * j->span;
        for (int64_t i = 0; i < n; i++)
            out[i] += x[i];
    }
}

static void weight_deltas(bs_handler *h, back_job *j, bs_a_ weight_deltas, bs_a_ bias_deltas)
{
    const bs_array out = with_rows(h, weight_deltas, 1);
    if (!out.data)
        return;
    sum_job s = {.j = j, .weight_deltas = bs_matrix(&out, 1), .bias_deltas = bias_deltas->data};
    j->part_images = j->in.n > MAX_PARTS ? div_up(j->in.n, MAX_PARTS) : 1;
    j->parts = div_up(j->in.n, j->part_images);
    j->part_size = j->d_out.c * (j->kh * j->span + 1);
    j->part = bs_scratch_take(h, (size_t)(j->parts * j->part_size) * sizeof(real));
    if (!j->part)
        return;
    bs_parallel(j->parts, weight_task, j);
    K(each_row)(sum_parts_row, &s, j->d_out.c + 1, j->parts * j->kh * j->span);
    if (out.data != weight_deltas->data)
        K(copy_to)(h, &out, weight_deltas);
}

void K(conv2d_backward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ in_deltas,
                              bs_a_ out_deltas, bs_a_ weight_deltas_, bs_a_ bias_deltas,
                              const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    back_job j = {.in = images_of(inputs),
                  .d_out = images_of(out_deltas),
                  .kh = weights->dim[1],
                  .kw = weights->dim[2],
                  .padding = w->padding,
                  .stride_rows = w->stride_rows,
                  .stride_cols = w->stride_cols};
    j.lines = j.in.h + 2 * j.padding;
    j.line = (j.in.w + 2 * j.padding) * j.in.c;
    j.span = j.kw * j.in.c;
    j.panels = div_up(j.span, NR);
    j.copy_size = j.lines * j.line + NR; /* the last panel of the last window reads over the end */
    j.copy_size = aligned_count(j.copy_size > j.d_out.c ? j.copy_size : j.d_out.c);
    j.copies = bs_scratch_take(h, (size_t)(bs_num_threads() * j.copy_size) * sizeof(real));
    if (j.copies)
        weight_deltas(h, &j, weight_deltas_, bias_deltas);
    if (j.copies && in_deltas->data && bs_count(out_deltas)) {
        if (can_correlate(&j))
            correlate_deltas(h, &j, weights, in_deltas);
        else
            add_deltas(h, &j, weights, in_deltas);
    }
    bs_scratch_release(h, mark);
}
