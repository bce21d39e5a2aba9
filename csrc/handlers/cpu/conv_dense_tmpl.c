/* conv_dense_tmpl.c - convolution backward where the deltas are dense.
 *
 * weight_deltas: FILTERS filters (the last ones singly) times a group of vectors of the window stay
 * in registers over all pixels of a group of images. in_deltas, if the stride is 1 and the channels
 * fill a vector: a correlation of the padded out_deltas with the window turned by 180 degrees. Else
 * some pixels times NR values of a line of the window are added to a padded image; with few
 * channels this wastes less. */
#include "handlers/cpu/conv_backward.h"

/* ---- weight_deltas ---- */

#if defined(__AVX512F__)
enum { FILTERS = 4 };
#else
enum { FILTERS = 2 }; /* half as many registers */
#endif

/* Filters [filter, filter + filters) times vectors [first, first + vectors). How many they are is a
 * literal in every call, so that `sum` becomes registers. */
BS_INLINE void weight_tile(const int filters, const int vectors, const conv_back *c,
                           const image_group *g, int64_t filter, int64_t first, real *sums)
{
    const int64_t row = c->vectors * VEC, step = c->stride_cols * c->in.c;
    int64_t offset[GROUP];
    vec sum[FILTERS][GROUP];
    sums += filter * row + first * VEC;
    BS_UNROLL
    for (int f = 0; f < filters; f++)
        for (int v = 0; v < vectors; v++)
            sum[f][v] = *(const vec *)(sums + f * row + v * VEC);
    for (int v = 0; v < vectors; v++)
        offset[v] = window_offset(c, first + v);
    for (int64_t n = 0; n < g->n; n++)
        for (int64_t y = 0; y < c->d_out.h; y++) {
            const real *x = g->copies + n * c->copy_size + y * c->stride_rows * c->line,
                       *d = pixel_at(&c->d_out, g->first + n, y, 0) + filter;
            for (int64_t col = 0; col < c->d_out.w; col++, x += step, d += c->d_out.pixel) {
                vec in[GROUP];
                for (int v = 0; v < vectors; v++)
                    in[v] = *(const vec *)(x + offset[v]);
                BS_UNROLL
                for (int f = 0; f < filters; f++)
                    for (int v = 0; v < vectors; v++)
                        sum[f][v] += d[f] * in[v];
            }
        }
    BS_UNROLL
    for (int f = 0; f < filters; f++)
        for (int v = 0; v < vectors; v++)
            *(vec *)(sums + f * row + v * VEC) = sum[f][v];
}

void K(dense_weight_deltas)(const conv_back *c, const image_group *g, int64_t filter, int64_t end,
                            real *sums)
{
    for (int64_t first = 0, n; first < c->vectors; first += n) {
        n = group_size(c->vectors - first, GROUP);
        for (int64_t f = filter, filters; f < end; f += filters) {
            filters = end - f < FILTERS ? 1 : FILTERS;
            switch (n) {
#define CASE(size)                                                                                 \
    case size:                                                                                     \
        if (filters == 1)                                                                          \
            weight_tile(1, size, c, g, f, first, sums);                                            \
        else                                                                                       \
            weight_tile(FILTERS, size, c, g, f, first, sums);                                      \
        break;
                EACH_GROUP(CASE)
            }
        }
    }
}

/* ---- in_deltas, by correlation ---- */

static int can_correlate(const conv_back *c)
{
    return c->stride_rows == 1 && c->stride_cols == 1 && 2 * c->in.c >= VEC && c->padding < c->kh &&
           c->padding < c->kw;
}

static void correlate_deltas(bs_handler *h, const conv_back *c, const bs_array *w,
                             const unsigned char *done)
{
    const int64_t filters = c->d_out.c, channels = c->in.c, panels = div_up(channels, NR),
                  window = c->kh * c->kw;
    real *packed = bs_scratch_take(h, (size_t)(panels * window * filters * NR) * sizeof(real));
    if (!packed)
        return;
    for (int64_t p = 0; p < panels; p++)
        for (int64_t at = 0; at < window; at++)
            K(pack_panel)
    (packed + (p * window + at) * filters * NR,
     (const real *)w->data + (window - 1 - at) * channels + p * NR, filters,
     min64(NR, channels - p * NR), w->pitch, 1);
    K(correlate)
    (h, &(correlation){.in = c->d_out,
                       .out = c->d_in,
                       .kh = c->kh,
                       .kw = c->kw,
                       .pad_rows = c->kh - 1 - c->padding,
                       .pad_cols = c->kw - 1 - c->padding,
                       .stride_rows = 1,
                       .stride_cols = 1,
                       .weights = packed,
                       .add = 1,
                       .done = done});
}

/* ---- in_deltas, by adding ---- */

typedef struct adding {
    const conv_back *c;
    const unsigned char *done;
    const real *weights;  /* kh x panels x F x NR */
    int64_t span, panels; /* kw * C, and panels of NR in it */
    real *copies;         /* a padded image for each thread */
} adding;

/* Adds the products of all pixels with one panel of line i of the window. */
static void add_panel(const adding *a, int64_t n, int64_t i, int64_t panel, real *copy)
{
    const conv_back *c = a->c;
    const int64_t width = c->d_out.w;
    tile_job t = {.length = c->d_out.c,
                  .cols = min64(NR, a->span - panel * NR),
                  .a_row = c->d_out.pixel,
                  .panel = a->weights + (i * a->panels + panel) * c->d_out.c * NR,
                  .out_row = c->stride_cols * c->in.c,
                  .add = 1};
    for (int64_t y = 0; y < c->d_out.h; y++)
        for (int64_t x = 0; x < width; x += t.rows) {
            t.rows = tile_height(width - x);
            t.a = pixel_at(&c->d_out, n, y, x);
            t.out = copy + (y * c->stride_rows + i) * c->line + x * t.out_row + panel * NR;
            K(tile)(&t);
        }
}

static void add_task(void *context, int64_t n, int thread)
{
    const adding *a = context;
    real *copy = a->copies + thread * a->c->copy_size;
    if (a->done[n])
        return;
    memset(copy, 0, (size_t)a->c->copy_size * sizeof(real));
    for (int64_t i = 0; i < a->c->kh; i++)
        for (int64_t panel = 0; panel < a->panels; panel++)
            add_panel(a, n, i, panel, copy);
    add_padded(a->c, n, copy);
}

static void add_deltas(bs_handler *h, const conv_back *c, const bs_array *w,
                       const unsigned char *done)
{
    const int64_t filters = c->d_out.c, span = c->kw * c->in.c, panels = div_up(span, NR);
    real *packed = bs_scratch_take(h, (size_t)(c->kh * panels * filters * NR) * sizeof(real)),
         *copies = bs_scratch_take(h, (size_t)(bs_num_threads() * c->copy_size) * sizeof(real));
    if (!packed || !copies)
        return;
    for (int64_t i = 0; i < c->kh; i++)
        K(pack_panels)
    (packed + i * panels * filters * NR, (const real *)w->data + i * span, filters, span, w->pitch,
     1);
    bs_parallel(c->in.n, add_task,
                &(adding){.c = c,
                          .done = done,
                          .weights = packed,
                          .span = span,
                          .panels = panels,
                          .copies = copies});
}

void K(dense_in_deltas)(bs_handler *h, const conv_back *c, bs_a_ weights, const unsigned char *done)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array w_rows = with_rows(h, weights, 1), w = bs_matrix(&w_rows, 1);
    if (w.data && can_correlate(c))
        correlate_deltas(h, c, &w, done);
    else if (w.data)
        add_deltas(h, c, &w, done);
    bs_scratch_release(h, mark);
}
