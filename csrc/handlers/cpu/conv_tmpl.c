/* conv_tmpl.c - convolution forward: outputs[n, y, x, f] = bias[f] + sum over i, j, c of
 * weights[f, i, j, c] * inputs[n, y*sy + i - p, x*sx + j - p, c].
 *
 * For one line i of the window, the kw*C inputs of a pixel follow each other in a zero-padded copy of the image. So a group of
 * MR pixels times NR filters is one register tile with kh segments of kw*C, and no matrix of windows is ever written. A task is
 * a band of output lines of one image; its copy of the input lines is in the scratch of its thread. */
#include "handlers/cpu/images.h"

enum { MIN_BANDS = 16 }; /* in a batch, where the images have so many lines */

typedef struct conv_job {
    images  in, out;
    int64_t kh, kw, padding, stride_rows, stride_cols;
    int64_t band, bands;  /* output lines of a task, tasks per image */
    int64_t panels;       /* of NR filters */
    const real *weights;  /* panels x (kh*kw*C) x NR */
    const real *bias;     /* panels x NR */
    real   *copies;       /* for each thread */
    int64_t copy_size;
} conv_job;

/* All pixels of a band for one panel of filters. */
static void band_panel(const conv_job *j, int64_t n, int64_t first, int64_t lines, const real *copy, int64_t panel)
{
    const int64_t line = (j->in.w + 2 * j->padding) * j->in.c, depth = j->kh * j->kw * j->in.c;
    const tile_loop loop = {.segments = j->kh, .length = j->kw * j->in.c, .a_step = 1, .a_jump = line, .b_step = NR,
                            .b_jump = j->kw * j->in.c * NR};
    const int64_t pixels = lines * j->out.w, cols = min64(NR, j->out.c - panel * NR);
    int64_t row = 0, col = 0;
    for (int64_t pixel = 0; pixel < pixels; pixel += MR) {
        tile_rows rows = {.n = (int)min64(MR, pixels - pixel)};
        for (int r = 0; r < rows.n; r++) {
            rows.a[r] = copy + row * j->stride_rows * line + col * j->stride_cols * j->in.c;
            rows.out[r] = pixel_at(&j->out, n, first + row, col) + panel * NR;
            if (++col == j->out.w)
                col = 0, row++;
        }
        K(tile)(&loop, &rows, j->weights + panel * depth * NR, cols, j->bias + panel * NR, 0);
    }
}

static void band_task(void *context, int64_t task, int thread)
{
    const conv_job *j = context;
    const int64_t n = task / j->bands, first = task % j->bands * j->band;
    const int64_t lines = min64(j->band, j->out.h - first);
    real *copy = j->copies + thread * j->copy_size;
    copy_padded(&j->in, n, first * j->stride_rows, (lines - 1) * j->stride_rows + j->kh, j->padding, copy);
    for (int64_t panel = 0; panel < j->panels; panel++)
        band_panel(j, n, first, lines, copy, panel);
}

/* Packs weights and bias for the tile. Returns whether there was memory. */
static int pack_weights(bs_handler *h, conv_job *j, bs_a_ weights, bs_a_ bias)
{
    const int64_t depth = j->kh * j->kw * j->in.c;
    const bs_array w_rows = with_rows(h, weights, 1), w = bs_matrix(&w_rows, 1);
    real *packed = bs_scratch_take(h, (size_t)(j->panels * depth * NR) * sizeof(real));
    real *packed_bias = bs_scratch_take(h, (size_t)(j->panels * NR) * sizeof(real));
    if (!w.data || !packed || !packed_bias)
        return 0;
    memset(packed_bias, 0, (size_t)(j->panels * NR) * sizeof(real));
    memcpy(packed_bias, bias->data, (size_t)j->out.c * sizeof(real));
    for (int64_t p = 0; p < j->panels; p++)
        K(pack_panel)(packed + p * depth * NR, (const real *)w.data + p * NR * w.pitch, depth,
                      min64(NR, j->out.c - p * NR), 1, w.pitch);
    j->weights = packed;
    j->bias = packed_bias;
    return 1;
}

void K(conv2d_forward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ bias, bs_a_ outputs, const bs_window *w)
{
    const bs_mark mark = bs_scratch_mark(h);
    conv_job j = {.in = images_of(inputs), .out = images_of(outputs), .kh = weights->dim[1], .kw = weights->dim[2],
                  .padding = w->padding, .stride_rows = w->stride_rows, .stride_cols = w->stride_cols};
    if (bs_count(outputs) == 0)
        return;
    j.band = div_up(j.out.h, div_up(MIN_BANDS, j.out.n));
    j.bands = div_up(j.out.h, j.band);
    j.panels = div_up(j.out.c, NR);
    j.copy_size = ((j.band - 1) * j.stride_rows + j.kh) * (j.in.w + 2 * j.padding) * j.in.c;
    j.copies = bs_scratch_take(h, (size_t)(bs_num_threads() * j.copy_size) * sizeof(real));
    if (j.copies && pack_weights(h, &j, weights, bias))
        bs_parallel(j.out.n * j.bands, band_task, &j);
    bs_scratch_release(h, mark);
}
