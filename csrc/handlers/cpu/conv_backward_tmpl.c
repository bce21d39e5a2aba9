/* conv_backward_tmpl.c - convolution backward.
 *
 *   out_deltas[n, y, x, f] *= act'(outputs[n, y, x, f])
 *   in_deltas[n, y*sy + i - p, x*sx + j - p, c] += sum over f of
 *       out_deltas[n, y, x, f] * weights[f, i, j, c]
 *   weight_deltas[f, i, j, c] = sum over n, y, x of
 *       out_deltas[n, y, x, f] * inputs[n, y*sy + i - p, x*sx + j - p, c]
 *   bias_deltas[f] = sum over n, y, x of out_deltas[n, y, x, f]
 *
 * The batch is cut into a fixed number of parts, whose sums are added in order; if there are few
 * images, the filters are cut into bands as well. A task takes its images in groups that fit into
 * the cache: one pass over their deltas applies the derivative, sums the bias and counts zeros, and
 * is_sparse() decides by these counts alone which kernels follow. */
#include "handlers/cpu/conv_backward.h"

enum {
    MAX_PARTS = 16,
    MAX_SUMS = 1 << 24, /* elements of the sums of all parts */
    MIN_TASKS = 8,      /* with fewer parts, filters are cut too */
    MIN_BAND = 4,       /* filters */
    GROUP_BYTES = 1 << 17,
    SPARSE = 3 /* one of so many deltas is not 0 */
};

typedef struct back_job {
    conv_back c;
    int64_t parts, part_images, bands, band; /* of the batch, of the filters */
    int64_t group;                           /* images of a group */
    real *part;                              /* parts x (F x vectors x VEC, and F of the bias) */
    int64_t part_size;
    int may_be_sparse;
    const real *weights;              /* F x vectors x VEC, if in_deltas may be sparse */
    unsigned char *done;              /* images whose in_deltas are added */
    real *copies, *d_copies, *column; /* for each thread: a group, an image, 2 F numbers */
    conv_terms *terms;                /* for each thread */
} back_job;

/* ---- the pass over the deltas ---- */

typedef struct census {
    int64_t nonzero;
    int finite;
} census;

static void derive_line(const conv_back *c, int64_t n, int64_t row, int64_t f, int64_t filters)
{
    const int whole = c->out.pixel == filters && c->d_out.pixel == filters; /* one run */
    if (c->activation == BS_LINEAR)
        return;
    for (int64_t col = 0; col < (whole ? 1 : c->out.w); col++) {
        real *d = pixel_at(&c->d_out, n, row, col) + f;
        K(activate_deriv_row)
        (c->activation, pixel_at(&c->out, n, row, col) + f, d, d,
         whole ? c->out.w * filters : filters);
    }
}

static void add_columns(const real *restrict d, int64_t n, real *restrict sum,
                        real *restrict nonzero)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += d[i];
        nonzero[i] += d[i] != 0;
    }
}

/* Filters [f, end) of a group: applies the derivative, adds to the bias, counts. */
static census take_census(const back_job *j, const image_group *g, int64_t f, int64_t end,
                          real *column, real *bias)
{
    const conv_back *c = &j->c;
    const int64_t filters = end - f;
    real *sum = column, *nonzero = column + c->d_out.c, rest = 0;
    census out = {.nonzero = 0};
    memset(nonzero, 0, (size_t)filters * sizeof(real));
    for (int64_t line = 0; line < g->n * c->d_out.h; line++) {
        const int64_t n = g->first + line / c->d_out.h, row = line % c->d_out.h;
        derive_line(c, n, row, f, filters);
        memset(sum, 0, (size_t)filters * sizeof(real));
        for (int64_t col = 0; col < c->d_out.w; col++)
            add_columns(pixel_at(&c->d_out, n, row, col) + f, filters, sum, nonzero);
        for (int64_t i = 0; i < filters; i++) {
            bias[f + i] += sum[i];
            rest += sum[i] - sum[i]; /* 0, unless it is NaN or infinite */
        }
    }
    for (int64_t i = 0; i < filters; i++)
        out.nonzero += (int64_t)nonzero[i];
    out.finite = rest == 0;
    return out;
}

/* Sparse kernels leave products with 0 out, and 0 * NaN would be NaN. */
static int is_sparse(const back_job *j, const image_group *g, const census *x)
{
    const images *d = &j->c.d_out;
    return j->may_be_sparse && x->finite && x->nonzero * SPARSE < g->n * d->h * d->w * d->c;
}

/* ---- one part ---- */

static void sparse_group(const back_job *j, const image_group *g, int thread, real *sums)
{
    const conv_back *c = &j->c;
    conv_terms *t = &j->terms[thread];
    for (int64_t f = 0; f < c->d_out.c; f++)
        t->end[f] = t->term + f * t->room;
    for (int64_t i = 0; i < g->n; i++) {
        const int64_t n = g->first + i;
        K(conv_find_terms)(c, n, i * c->copy_size, t);
        if (c->d_in.data)
            K(sparse_in_deltas)(c, n, t, j->weights, j->d_copies + thread * c->copy_size);
        j->done[n] = 1;
    }
    K(sparse_weight_deltas)(c, g, t, sums);
}

static void part_task(void *context, int64_t task, int thread)
{
    const back_job *j = context;
    const conv_back *c = &j->c;
    const int64_t part = task / j->bands, f = task % j->bands * j->band,
                  end = min64(f + j->band, c->d_out.c), row = c->vectors * VEC;
    const int64_t last = min64((part + 1) * j->part_images, c->in.n);
    real *sums = j->part + part * j->part_size, *bias = sums + c->d_out.c * row;
    memset(sums + f * row, 0, (size_t)((end - f) * row) * sizeof(real));
    memset(bias + f, 0, (size_t)(end - f) * sizeof(real));
    image_group g = {.copies = j->copies + thread * j->group * c->copy_size};
    for (g.first = part * j->part_images; g.first < last; g.first += g.n) {
        g.n = min64(j->group, last - g.first);
        const census x = take_census(j, &g, f, end, j->column + thread * 2 * c->d_out.c, bias);
        for (int64_t i = 0; i < g.n; i++)
            copy_padded(&c->in, g.first + i, 0, c->lines, c->padding, c->padding,
                        g.copies + i * c->copy_size);
        if (is_sparse(j, &g, &x))
            sparse_group(j, &g, thread, sums);
        else
            K(dense_weight_deltas)(c, &g, f, end, sums);
    }
}

/* ---- sums of the parts, in order: filter `row` of the weights; in the last row the bias ---- */

typedef struct sum_job {
    const back_job *j;
    bs_array weight_deltas;
    real *bias_deltas;
} sum_job;

static void sum_parts(const back_job *j, int64_t at, real *out, int64_t n)
{
    memset(out, 0, (size_t)n * sizeof(real));
    for (int64_t part = 0; part < j->parts; part++) {
        const real *x = j->part + part * j->part_size + at;
        BS_IVDEP
        for (int64_t i = 0; i < n; i++)
            out[i] += x[i];
    }
}

static void sum_parts_row(void *context, int64_t row)
{
    const sum_job *s = context;
    const conv_back *c = &s->j->c;
    const int64_t filters = c->d_out.c, span = c->kw * c->in.c;
    if (row == filters) {
        sum_parts(s->j, filters * c->vectors * VEC, s->bias_deltas, filters);
        return;
    }
    for (int64_t i = 0; i < c->kh; i++)
        sum_parts(s->j, (row * c->vectors + i * c->span_vectors) * VEC,
                  (real *)s->weight_deltas.data + row * s->weight_deltas.pitch + i * span, span);
}

/* ---- the whole ---- */

static void plan(back_job *j)
{
    const conv_back *c = &j->c;
    const int64_t filters = c->d_out.c, batch = c->in.n;
    j->part_size = aligned_count(filters * (c->vectors * VEC + 1));
    const int64_t room = MAX_SUMS / j->part_size, parts = room < MAX_PARTS ? room : MAX_PARTS;
    j->part_images = parts > 1 ? div_up(batch, parts) : batch;
    j->part_images = j->part_images ? j->part_images : 1;
    j->parts = div_up(batch, j->part_images);
    j->bands = j->parts < MIN_TASKS && j->parts ? div_up(MAX_PARTS, j->parts) : 1;
    j->band = div_up(div_up(filters, j->bands), MIN_BAND) * MIN_BAND;
    j->bands = div_up(filters, j->band);
    j->group = GROUP_BYTES / (int64_t)sizeof(real) / c->copy_size;
    j->group = min64(j->group ? j->group : 1, j->part_images);
    j->may_be_sparse = j->bands == 1 && K(conv_can_be_sparse)(c, j->group);
}

/* (F, kh*kw*C) -> F x vectors x VEC, filled up with zeros. */
static const real *fill_up(bs_handler *h, const conv_back *c, const bs_array *w)
{
    const int64_t filters = c->d_out.c, span = c->kw * c->in.c, row = c->span_vectors * VEC;
    real *out = bs_scratch_take(h, (size_t)(filters * c->kh * row) * sizeof(real));
    for (int64_t i = 0; out && i < filters * c->kh; i++) {
        const real *from = (const real *)w->data + i / c->kh * w->pitch + i % c->kh * span;
        memcpy(out + i * row, from, (size_t)span * sizeof(real));
        memset(out + i * row + span, 0, (size_t)(row - span) * sizeof(real));
    }
    return out;
}

/* What sparse kernels need. Returns whether there was memory, as take_scratch() does. */
static int take_sparse_scratch(bs_handler *h, back_job *j, bs_a_ weights)
{
    const conv_back *c = &j->c;
    const int threads = bs_num_threads();
    j->terms = bs_scratch_take(h, (size_t)threads * sizeof *j->terms);
    for (int thread = 0; thread < threads; thread++)
        if (!j->terms || !K(conv_take_terms)(h, c, j->group, &j->terms[thread]))
            return 0;
    if (!c->d_in.data)
        return 1;
    const bs_array w_rows = with_rows(h, weights, 1), w = bs_matrix(&w_rows, 1);
    j->d_copies = bs_scratch_take(h, (size_t)(threads * c->copy_size) * sizeof(real));
    j->weights = w.data ? fill_up(h, c, &w) : NULL;
    return j->d_copies && j->weights;
}

static int take_scratch(bs_handler *h, back_job *j, bs_a_ weights)
{
    const conv_back *c = &j->c;
    const int64_t threads = bs_num_threads();
    const size_t one = sizeof(real);
    j->part = bs_scratch_take(h, (size_t)(j->parts * j->part_size) * one);
    j->done = bs_scratch_take(h, (size_t)c->in.n);
    j->copies = bs_scratch_take(h, (size_t)(threads * j->group * c->copy_size) * one);
    j->column = bs_scratch_take(h, (size_t)(threads * 2 * c->d_out.c) * one);
    if (!j->part || !j->done || !j->copies || !j->column)
        return 0;
    memset(j->done, 0, (size_t)c->in.n);
    return !j->may_be_sparse || take_sparse_scratch(h, j, weights);
}

static void backward(bs_handler *h, back_job *j, bs_a_ weights, bs_a_ weight_deltas,
                     bs_a_ bias_deltas)
{
    const conv_back *c = &j->c;
    const bs_array out = with_rows(h, weight_deltas, 1);
    if (!out.data || !take_scratch(h, j, weights))
        return;
    bs_parallel(j->parts * j->bands, part_task, j);
    sum_job s = {.j = j, .weight_deltas = bs_matrix(&out, 1), .bias_deltas = bias_deltas->data};
    K(each_row)(sum_parts_row, &s, c->d_out.c + 1, j->parts * c->vectors * VEC);
    if (out.data != weight_deltas->data)
        K(copy_to)(h, &out, weight_deltas);
    if (c->d_in.data)
        K(dense_in_deltas)(h, c, weights, j->done);
}

void K(conv2d_backward_act)(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ outputs,
                            bs_a_ in_deltas, bs_a_ out_deltas, bs_a_ weight_deltas,
                            bs_a_ bias_deltas, int activation, const bs_window *w)
{
    if (!bs_count(out_deltas)) {
        K(fill)(h, weight_deltas, 0.0);
        K(fill)(h, bias_deltas, 0.0);
        return;
    }
    const bs_mark mark = bs_scratch_mark(h);
    back_job j = {.c = {.in = images_of(inputs),
                        .d_in = in_deltas->data ? images_of(in_deltas) : (images){0},
                        .out = images_of(outputs),
                        .d_out = images_of(out_deltas),
                        .activation = (bs_activation)activation,
                        .kh = weights->dim[1],
                        .kw = weights->dim[2],
                        .padding = w->padding,
                        .stride_rows = w->stride_rows,
                        .stride_cols = w->stride_cols}};
    conv_back *c = &j.c;
    c->lines = c->in.h + 2 * c->padding;
    c->line = (c->in.w + 2 * c->padding) * c->in.c;
    c->copy_size = aligned_count(c->lines * c->line + VEC); /* the last vector reads over the end */
    c->span_vectors = div_up(c->kw * c->in.c, VEC);
    c->vectors = c->kh * c->span_vectors;
    plan(&j);
    if (j.bands > 1) { /* the rows of a task are too short for it */
        bs_activate_deriv(h, activation, outputs, out_deltas, out_deltas);
        c->activation = BS_LINEAR;
    }
    backward(h, &j, weights, weight_deltas, bias_deltas);
    bs_scratch_release(h, mark);
}

void K(conv2d_backward_batch)(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ in_deltas,
                              bs_a_ out_deltas, bs_a_ weight_deltas, bs_a_ bias_deltas,
                              const bs_window *w)
{
    K(conv2d_backward_act)
    (h, inputs, weights, out_deltas, in_deltas, out_deltas, weight_deltas, bias_deltas, BS_LINEAR,
     w);
}
