/* lstm_steps_tmpl.c - all steps of an LSTM: products with R and cells together.
 *
 * R is packed once into panels of NR columns for the register tile, not at every step. A *band* is
 * NR cells: forward, a panel belongs to a gate of a band; backward, a band has the columns of R
 * that lead to its cells, and a panel for each gate's rows. A step is the products of all bands,
 * then the cells, whole sequences at a time, since memory is walked best along its rows.
 *
 * Sequences do not know of each other, so where R fits into the second cache, each task takes some
 * of them through all steps, and no thread waits for another. Else every step is cut into bands,
 * so that each thread reads a part of R only. */
#include <string.h>

#include "handlers/cpu/recurrent.h"
#include "handlers/fallback.h"

enum {
    GATES = 4,
    FEW_STEPS = 4,    /* with fewer, packing R does not pay */
    SMALL_R = 1 << 16 /* elements of R that stay in the second cache */
};

typedef struct flow { /* an array (T, B, ...) */
    lines first;      /* step 0 */
    int64_t step;     /* elements from a step to the next */
} flow;

typedef struct steps {
    int64_t T, B, n, bands;
    bs_activation activation;
    lines c_before, y_before, p; /* arrays of the operation */
    flow ga, gb, ca, cb, y;
    flow dy, dca, dga, dgb, dcb; /* backward */
    const real *panels;          /* see panel_of */
    real *keep;                  /* a row of n for each step, or one of zeros */
    int has_clocks;
    real *whole_dy; /* backward: 2 x (B, n), all of dL/dy at this step and at the one after it */
    int is_backward;
    int64_t t, cell_rows; /* where a task is a part of a step: which one; sequences of a task */
} steps;

/* ---- packing ---- */

typedef struct packing {
    bs_array r; /* (4n, n) */
    real *panels;
    int64_t n;
    int turned; /* the columns of a panel are rows of R */
} packing;

static int64_t panel_size(int64_t n)
{
    return n * NR;
}

static const real *panel_of(const steps *s, int64_t gate, int64_t band)
{
    return s->panels + (band * GATES + gate) * panel_size(s->n);
}

static void pack_one(void *job, int64_t panel)
{
    const packing *p = job;
    const int64_t gate = panel % GATES, start = panel / GATES * NR, cols = min64(NR, p->n - start),
                  pitch = p->r.pitch;
    const real *r = (const real *)p->r.data + gate * p->n * pitch;
    real *to = p->panels + panel * panel_size(p->n);
    if (p->turned)
        K(pack_panel)(to, r + start * pitch, p->n, cols, 1, pitch);
    else
        K(pack_panel)(to, r + start, p->n, cols, pitch, 1);
}

static int pack(bs_handler *h, steps *s, bs_a_ r, int turned)
{
    packing p = {.r = bs_matrix(r, 1), .n = s->n, .turned = turned};
    const int64_t panels = s->bands * GATES;
    p.panels = bs_scratch_take(h, (size_t)(panels * panel_size(s->n)) * sizeof(real));
    if (p.panels)
        K(each_row)(pack_one, &p, panels, 4 * panel_size(s->n));
    s->panels = p.panels;
    return p.panels != NULL;
}

/* ---- clocks ---- */

static int open_keep(bs_handler *h, steps *s, bs_a_ timing)
{
    const real *clock = timing->data;
    s->has_clocks = clock != NULL;
    const int64_t rows = clock ? s->T : 1;
    s->keep = bs_scratch_take(h, (size_t)(rows * s->n) * sizeof(real));
    if (!s->keep)
        return 0;
    memset(s->keep, 0, (size_t)s->n * sizeof(real));
    for (int64_t t = 1; t < rows; t++)
        for (int64_t k = 0; k < s->n; k++)
            s->keep[t * s->n + k] = REAL_FN(fmod)((real)t, clock[k]) != 0;
    return 1;
}

/* ---- the job of a step ---- */

static lines lines_of(bs_a_ a)
{
    const bs_array m = bs_matrix(a, a->ndim - 1);
    return (lines){m.data, m.pitch};
}

static flow flow_of(bs_a_ a)
{
    const bs_array first = bs_at(a, 0), second = bs_at(a, a->dim[0] > 1 ? 1 : 0);
    return (flow){lines_of(&first), (real *)second.data - (real *)first.data};
}

static lines step_of(const flow *a, int64_t t)
{
    return (lines){a->first.data + t * a->step, a->first.pitch};
}

static lines state_before(const flow *state, const lines *before, int64_t t)
{
    return t > 0 ? step_of(state, t - 1) : *before;
}

static lines keep_of(const steps *s, int64_t t)
{
    return (lines){s->keep + (s->has_clocks ? t * s->n : 0), 0};
}

static lines whole_dy(const steps *s, int64_t t)
{
    return (lines){s->whole_dy + t % 2 * s->B * s->n, s->n};
}

/* In the order of lstm_forward. */
static step_job forward_job(const steps *s, int64_t t)
{
    return (step_job){.n = s->n,
                      .activation = s->activation,
                      .array = {state_before(&s->ca, &s->c_before, t),
                                state_before(&s->y, &s->y_before, t), keep_of(s, t), s->p,
                                step_of(&s->ga, t), step_of(&s->gb, t), step_of(&s->ca, t),
                                step_of(&s->cb, t), step_of(&s->y, t)}};
}

/* In the order of lstm_backward. */
static step_job backward_job(const steps *s, int64_t t)
{
    return (step_job){.n = s->n,
                      .activation = s->activation,
                      .array = {whole_dy(s, t), keep_of(s, t), s->p,
                                state_before(&s->ca, &s->c_before, t), step_of(&s->gb, t),
                                step_of(&s->cb, t), step_of(&s->dca, t), step_of(&s->dga, t),
                                step_of(&s->dgb, t), step_of(&s->dcb, t),
                                step_of(&s->dca, t > 0 ? t - 1 : s->T)}};
}

static int is_small(const steps *s)
{
    return GATES * s->n * s->n <= SMALL_R;
}

/* out[row, start ..] += a[row, from ..] * panel, for sequences [first, end). Panels lie in the
 * order in which they are used. Where they do not stay in the second cache, the next one is brought
 * there meanwhile. */
static void add_product(const steps *s, const lines *a, int64_t from, const real *panel,
                        const lines *out, int64_t start, int64_t cols, int64_t first, int64_t end)
{
    const int64_t size = panel_size(s->n);
    tile_job t = {.length = s->n,
                  .cols = cols,
                  .a_row = a->pitch,
                  .panel = panel,
                  .out_row = out->pitch,
                  .add = 1};
    if (!is_small(s))
        t.ahead = ahead_of(panel + size, AHEAD, size / AHEAD, AHEAD);
    for (int64_t row = first; row < end; row += t.rows) {
        t.rows = tile_height(end - row);
        t.a = line_at(a, row) + from;
        t.out = line_at(out, row) + start;
        K(tile)(&t);
    }
}

/* ---- a step: products, a band of cells each, then cells, a sequence each ---- */

static void forward_product(const steps *s, int64_t t, int64_t first, int64_t end, int64_t band)
{
    const int64_t start = band * NR, cols = min64(NR, s->n - start);
    const lines y_before = state_before(&s->y, &s->y_before, t), ga = step_of(&s->ga, t);
    for (int64_t gate = 0; gate < GATES; gate++)
        add_product(s, &y_before, 0, panel_of(s, gate, band), &ga, gate * s->n + start, cols, first,
                    end);
}

static void forward_cells(const steps *s, int64_t t, int64_t first, int64_t end)
{
    step_job job = forward_job(s, t);
    for (int64_t row = first; row < end; row++)
        K(lstm_row)(&job, row);
}

/* whole_dy[t] = dy[t] + what kept cells pass on from step t + 1 + dga[t + 1] R */
static void backward_product(const steps *s, int64_t t, int64_t first, int64_t end, int64_t band)
{
    const int64_t start = band * NR, cols = min64(NR, s->n - start);
    const lines above = step_of(&s->dy, t), whole = whole_dy(s, t), later = whole_dy(s, t + 1);
    const int is_last = t == s->T - 1;
    const real *keep = s->has_clocks && !is_last ? s->keep + (t + 1) * s->n + start : NULL;
    for (int64_t row = first; row < end; row++) {
        const real *from = line_at(&above, row) + start, *next = line_at(&later, row) + start;
        real *to = line_at(&whole, row) + start;
        for (int64_t k = 0; k < cols; k++)
            to[k] = from[k] + (keep && keep[k] != 0 ? next[k] : 0);
    }
    for (int64_t gate = 0; gate < GATES && !is_last; gate++) {
        const lines dga = step_of(&s->dga, t + 1);
        add_product(s, &dga, gate * s->n, panel_of(s, gate, band), &whole, start, cols, first, end);
    }
}

static void backward_cells(const steps *s, int64_t t, int64_t first, int64_t end)
{
    step_job job = backward_job(s, t);
    const lines dca = step_of(&s->dca, t);
    for (int64_t row = first; row < end; row++) {
        if (t == s->T - 1) /* nothing flows into the last cells from later steps */
            memset(line_at(&dca, row), 0, (size_t)s->n * sizeof(real));
        K(lstm_row_backward)(&job, row);
    }
}

/* ---- running ---- */

static int64_t nth_step(const steps *s, int64_t i)
{
    return s->is_backward ? s->T - 1 - i : i;
}

static void product_of(const steps *s, int64_t t, int64_t first, int64_t end, int64_t band)
{
    if (s->is_backward)
        backward_product(s, t, first, end, band);
    else
        forward_product(s, t, first, end, band);
}

static void cells_of(const steps *s, int64_t t, int64_t first, int64_t end)
{
    if (s->is_backward)
        backward_cells(s, t, first, end);
    else
        forward_cells(s, t, first, end);
}

static void all_steps(void *context, int64_t task, int thread)
{
    const steps *s = context;
    const int64_t height = tile_height(s->B), first = task * height,
                  end = min64(first + height, s->B);
    (void)thread;
    for (int64_t i = 0; i < s->T; i++) {
        for (int64_t band = 0; band < s->bands; band++)
            product_of(s, nth_step(s, i), first, end, band);
        cells_of(s, nth_step(s, i), first, end);
    }
}

static void products_task(void *context, int64_t band, int thread)
{
    const steps *s = context;
    (void)thread;
    product_of(s, s->t, 0, s->B, band);
}

static void cells_task(void *context, int64_t task, int thread)
{
    const steps *s = context;
    (void)thread;
    cells_of(s, s->t, task * s->cell_rows, min64((task + 1) * s->cell_rows, s->B));
}

static void run(steps *s)
{
    if (is_small(s)) {
        bs_parallel(div_up(s->B, tile_height(s->B)), all_steps, s);
        return;
    }
    s->cell_rows = rows_per_task(s->n * CELL_COST);
    for (int64_t i = 0; i < s->T; i++) {
        s->t = nth_step(s, i);
        bs_parallel(s->bands, products_task, s);
        bs_parallel(div_up(s->B, s->cell_rows), cells_task, s);
    }
}

/* Whether there was memory. */
static int open_steps(bs_handler *h, steps *s, bs_a_ r, bs_a_ timing, int turned)
{
    s->n = r->dim[1];
    s->bands = div_up(s->n, NR);
    return pack(h, s, r, turned) && open_keep(h, s, timing);
}

void K(lstm_forward_steps)(bs_handler *h, bs_a_ r, bs_a_ timing, bs_a_ c_before, bs_a_ y_before,
                           bs_a_ p, bs_a_ ga, bs_a_ gb, bs_a_ ca, bs_a_ cb, bs_a_ y, int activation)
{
    if (cb->dim[0] < FEW_STEPS) {
        bs_fallback_lstm_forward_steps(h, r, timing, c_before, y_before, p, ga, gb, ca, cb, y,
                                       activation);
        return;
    }
    const bs_mark mark = bs_scratch_mark(h);
    steps s = {.T = y->dim[0],
               .B = y->dim[1],
               .activation = (bs_activation)activation,
               .c_before = lines_of(c_before),
               .y_before = lines_of(y_before),
               .p = lines_of(p),
               .ga = flow_of(ga),
               .gb = flow_of(gb),
               .ca = flow_of(ca),
               .cb = flow_of(cb),
               .y = flow_of(y)};
    if (open_steps(h, &s, r, timing, 1))
        run(&s);
    bs_scratch_release(h, mark);
}

void K(lstm_backward_steps)(bs_handler *h, bs_a_ r, bs_a_ timing, bs_a_ p, bs_a_ c_before, bs_a_ ca,
                            bs_a_ gb, bs_a_ cb, bs_a_ dy, bs_a_ dca, bs_a_ dga, bs_a_ dgb,
                            bs_a_ dcb, int activation)
{
    if (cb->dim[0] < FEW_STEPS) {
        bs_fallback_lstm_backward_steps(h, r, timing, p, c_before, ca, gb, cb, dy, dca, dga, dgb,
                                        dcb, activation);
        return;
    }
    const bs_mark mark = bs_scratch_mark(h);
    steps s = {.T = dy->dim[0],
               .B = dy->dim[1],
               .activation = (bs_activation)activation,
               .c_before = lines_of(c_before),
               .p = lines_of(p),
               .gb = flow_of(gb),
               .ca = flow_of(ca),
               .cb = flow_of(cb),
               .dy = flow_of(dy),
               .dca = flow_of(dca),
               .dga = flow_of(dga),
               .dgb = flow_of(dgb),
               .dcb = flow_of(dcb),
               .is_backward = 1};
    if (open_steps(h, &s, r, timing, 0) &&
        (s.whole_dy = bs_scratch_take(h, (size_t)(2 * s.B * s.n) * sizeof(real))))
        run(&s);
    bs_scratch_release(h, mark);
}
