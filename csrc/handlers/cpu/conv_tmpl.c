/* conv_tmpl.c - convolution forward: outputs[n, y, x, f] = bias[f] + sum over i, j, c of
 * weights[f, i, j, c] * inputs[n, y*sy + i - p, x*sx + j - p, c].
 *
 * For one line i of the window, the kw*C inputs of a pixel follow each other in a zero-padded copy
 * of the image. So some neighbouring pixels times NR filters are one register tile
 * (conv_tile_tmpl.c) with kh segments of kw*C, and no matrix of windows is ever written. A task is
 * a band of output lines of one image; its copy of the input lines is in the scratch of its thread.
 * The activation follows line by line, while they are in the cache. */
#include "handlers/cpu/images.h"

enum { MIN_BANDS = 16 }; /* in a batch, where the images have so many lines */

typedef struct conv_job {
    const correlation *c;
    int64_t band, bands; /* output lines of a task, tasks per image */
    int64_t line;        /* elements of a padded line */
    real *copies;        /* for each thread */
    int64_t copy_size;
} conv_job;

static void activate_line(bs_activation activation, const conv_line *l)
{
    const int whole = l->channels == l->out_pixel; /* the line is one run */
    const int64_t runs = whole ? 1 : l->pixels;
    if (activation == BS_LINEAR)
        return;
    for (int64_t run = 0; run < runs; run++)
        K(activate_row)
    (activation, l->out + run * l->out_pixel, whole ? l->pixels * l->channels : l->channels);
}

/* The lines of a band for one panel of output channels. */
static void band_panel(const conv_job *j, int64_t n, int64_t first, int64_t lines, const real *copy,
                       int64_t panel)
{
    const correlation *c = j->c;
    const int64_t length = c->kw * c->in.c, at = panel * NR;
    conv_line l = {.weights = c->weights + at * c->kh * length,
                   .start = c->start ? c->start + at : NULL,
                   .pixels = c->out.w,
                   .channels = min64(NR, c->out.c - at),
                   .segments = c->kh,
                   .length = length,
                   .in_pixel = c->stride_cols * c->in.c,
                   .in_line = j->line,
                   .out_pixel = c->out.pixel,
                   .add = c->add};
    for (int64_t line = 0; line < lines; line++) {
        l.in = copy + line * c->stride_rows * j->line;
        l.out = pixel_at(&c->out, n, first + line, 0) + at;
        K(conv_line)(&l);
        activate_line(c->activation, &l);
    }
}

static void band_task(void *context, int64_t task, int thread)
{
    const conv_job *j = context;
    const correlation *c = j->c;
    const int64_t n = task / j->bands, first = task % j->bands * j->band;
    const int64_t lines = min64(j->band, c->out.h - first);
    if (c->done && c->done[n])
        return;
    real *copy = j->copies + thread * j->copy_size;
    copy_padded(&c->in, n, first * c->stride_rows, (lines - 1) * c->stride_rows + c->kh,
                c->pad_rows, c->pad_cols, copy);
    for (int64_t panel = 0; panel * NR < c->out.c; panel++)
        band_panel(j, n, first, lines, copy, panel);
}

void K(correlate)(bs_handler *h, const correlation *c)
{
    const bs_mark mark = bs_scratch_mark(h);
    conv_job j = {.c = c, .line = (c->in.w + 2 * c->pad_cols) * c->in.c};
    j.band = div_up(c->out.h, div_up(MIN_BANDS, c->out.n));
    j.bands = div_up(c->out.h, j.band);
    j.copy_size = aligned_count(((j.band - 1) * c->stride_rows + c->kh) * j.line);
    j.copies = bs_scratch_take(h, (size_t)(bs_num_threads() * j.copy_size) * sizeof(real));
    if (j.copies)
        bs_parallel(c->out.n * j.bands, band_task, &j);
    bs_scratch_release(h, mark);
}

/* Packs weights and bias for the tile. Returns whether there was memory. */
static int pack_weights(bs_handler *h, correlation *c, bs_a_ weights, bs_a_ bias)
{
    const int64_t depth = c->kh * c->kw * c->in.c, panels = div_up(c->out.c, NR);
    const bs_array w_rows = with_rows(h, weights, 1), w = bs_matrix(&w_rows, 1);
    real *packed = bs_scratch_take(h, (size_t)(panels * depth * NR) * sizeof(real));
    real *packed_bias = bs_scratch_take(h, (size_t)(panels * NR) * sizeof(real));
    if (!w.data || !packed || !packed_bias)
        return 0;
    memset(packed_bias, 0, (size_t)(panels * NR) * sizeof(real));
    memcpy(packed_bias, bias->data, (size_t)c->out.c * sizeof(real));
    K(pack_panels)(packed, w.data, depth, c->out.c, 1, w.pitch);
    c->weights = packed;
    c->start = packed_bias;
    return 1;
}

void K(conv2d_forward_act)(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ bias, bs_a_ outputs,
                           int activation, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    correlation c = {.in = images_of(inputs),
                     .out = images_of(outputs),
                     .kh = weights->dim[1],
                     .kw = weights->dim[2],
                     .pad_rows = w->padding,
                     .pad_cols = w->padding,
                     .stride_rows = w->stride_rows,
                     .stride_cols = w->stride_cols,
                     .activation = (bs_activation)activation};
    if (bs_count(outputs) && pack_weights(h, &c, weights, bias))
        K(correlate)(h, &c);
    bs_scratch_release(h, mark);
}

void K(conv2d_forward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ bias, bs_a_ outputs,
                             const bs_window *w)
{
    K(conv2d_forward_act)(h, inputs, weights, bias, outputs, BS_LINEAR, w);
}
