/* fused_tmpl.c - fusions: several operations of fallback.c in one pass over memory. */
#include "handlers/cpu/kernels.h"
#include "handlers/cpu/vmath.h"

void K(linear_act)(bs_handler *h, bs_a_ x, bs_a_ w, bs_a_ bias, bs_a_ y, int activation)
{
    const bs_array xm = bs_matrix(x, 1), wm = bs_matrix(w, 1), ym = bs_matrix(y, 1);
    K(gemm)
    (h, &(product){.m = ym.dim[0],
                   .n = ym.dim[1],
                   .k = xm.dim[1],
                   .a = xm.data,
                   .b = wm.data,
                   .out = ym.data,
                   .a_pitch = xm.pitch,
                   .b_pitch = wm.pitch,
                   .out_pitch = ym.pitch,
                   .transb = 1,
                   .bias = bias->data,
                   .activation = (bs_activation)activation});
}

/* ---- softmax and cross entropy ---- */

typedef struct ce_job {
    row_view x, p;                    /* deriv: p, dx */
    const bs_array *targets, *losses; /* deriv: losses are dloss */
    int64_t lowest;                   /* first row with a wrong id */
} ce_job;

static void ce_row(void *job, int64_t row)
{
    ce_job *j = job;
    const int64_t n = j->x.n;
    const real id = *element(j->targets, row);
    real *p = row_at(&j->p, row);
    K(softmax_row)(row_at(&j->x, row), p, n);
    if (!is_id(id, n)) {
        note_row(&j->lowest, row);
        return;
    }
    real q = p[(int64_t)id];
    q = q < REAL(1e-6) ? REAL(1e-6) : q;
    q = q > 1 ? 1 : q;
    *element(j->losses, row) = -REAL_FN(log)(q);
}

static void ce_deriv_row(void *job, int64_t row)
{
    ce_job *j = job;
    const int64_t n = j->x.n;
    const real id = *element(j->targets, row), dloss = *element(j->losses, row),
               *p = row_at(&j->x, row);
    real *dx = row_at(&j->p, row);
    if (!is_id(id, n)) {
        note_row(&j->lowest, row);
        return;
    }
    const real p_id = p[(int64_t)id];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        dx[i] = p[i] * dloss;
    dx[(int64_t)id] = (p_id - 1) * dloss;
}

static void ce(bs_handler *h, const char *op, row_job_function *f, bs_a_ x, bs_a_ targets, bs_a_ p,
               bs_a_ losses)
{
    ce_job j = {.x = rows_of(x),
                .p = rows_of(p),
                .targets = targets,
                .losses = losses,
                .lowest = INT64_MAX};
    K(each_row)(f, &j, j.x.rows, j.x.n * MATHS_COST);
    if (j.lowest != INT64_MAX)
        K(fail_id)(h, op, *element(targets, j.lowest), j.lowest, j.x.n);
}

void K(softmax_ce)(bs_handler *h, bs_a_ x, bs_a_ targets, bs_a_ p, bs_a_ loss)
{
    ce(h, "softmax_ce", ce_row, x, targets, p, loss);
}

void K(softmax_ce_deriv)(bs_handler *h, bs_a_ p, bs_a_ targets, bs_a_ dloss, bs_a_ dx)
{
    ce(h, "softmax_ce_deriv", ce_deriv_row, p, targets, dx, dloss);
}

/* ---- dropout ---- */

static void dropout_row(real *const p[], int64_t n, const real s[])
{
    const real *x = p[0], *mask = p[1], scale = s[0];
    real *y = p[2];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * mask[i] * scale;
}

void K(dropout)(bs_handler *h, double drop_prob, bs_a_ x, bs_a_ mask, bs_a_ y)
{
    K(generate_probability_mask)(h, mask, 1.0 - drop_prob);
    K(elementwise)
    (dropout_row, 3, (const bs_array *const[]){x, mask, y},
     (const real[]){(real)(1.0 / (1.0 - drop_prob))}, TILE);
}
