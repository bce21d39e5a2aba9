/* matrix_tmpl.c - a matrix and a vector: out = m op v, with v a row for all rows, a number for each
 * row, or (multiplication only) as large as m. */
#include "handlers/cpu/kernels.h"

typedef void mv_function(const real *m, const real *v, real *out,
                         int64_t n); /* a row, and a vector of n */
typedef void mv_scalar_function(const real *m, real v, real *out,
                                int64_t n); /* a row, and one number */

typedef struct mv_job {
    mv_function *with_row;
    mv_scalar_function *with_number;
    bs_array m, out;
    const real *v;
    int64_t v_pitch, step; /* from row to row of v; rows per task */
    int column;            /* v has one number per row */
} mv_job;

static void mv_task(void *context, int64_t task, int thread)
{
    const mv_job *j = context;
    const int64_t last = min64((task + 1) * j->step, j->m.dim[0]), cols = j->m.dim[1];
    (void)thread;
    for (int64_t i = task * j->step; i < last; i++) {
        const real *m = (const real *)j->m.data + i * j->m.pitch;
        real *out = (real *)j->out.data + i * j->out.pitch;
        if (j->column)
            j->with_number(m, j->v[i * j->v_pitch], out, cols);
        else
            j->with_row(m, j->v + i * j->v_pitch, out, cols);
    }
}

static void mv(mv_function *with_row, mv_scalar_function *with_number, bs_a_ m, bs_a_ v, bs_a_ out)
{
    mv_job j = {.with_row = with_row,
                .with_number = with_number,
                .m = bs_matrix(m, 1),
                .out = bs_matrix(out, 1),
                .v = v->data,
                .step = rows_per_task(m->dim[1])};
    const int is_row = v->ndim == 1 || (v->dim[0] == 1 && v->dim[1] == m->dim[1]);
    if (!is_row) {
        const bs_array rows = bs_matrix(v, 1);
        j.column = v->dim[1] == 1 && m->dim[1] != 1;
        j.v_pitch = rows.pitch;
    }
    const int64_t tasks = div_up(m->dim[0], j.step);
    if (bs_count(m) == 0)
        return;
    if (bs_count(m) < 2 * TILE)
        for (int64_t task = 0; task < tasks; task++)
            mv_task(&j, task, 0);
    else
        bs_parallel(tasks, mv_task, &j);
}

static void add_vector(const real *m, const real *v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] + v[i];
}

static void add_number(const real *m, real v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] + v;
}

void K(add_mv)(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    (void)h;
    mv(add_vector, add_number, m, v, out);
}

static void subtract_vector(const real *m, const real *v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] - v[i];
}

static void subtract_number(const real *m, real v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] - v;
}

void K(subtract_mv)(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    (void)h;
    mv(subtract_vector, subtract_number, m, v, out);
}

static void mult_vector(const real *m, const real *v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] * v[i];
}

static void mult_number(const real *m, real v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] * v;
}

void K(mult_mv)(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    (void)h;
    mv(mult_vector, mult_number, m, v, out);
}

static void mult_add_vector(const real *m, const real *v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] += m[i] * v[i];
}

static void mult_add_number(const real *m, real v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] += m[i] * v;
}

void K(mult_add_mv)(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    (void)h;
    mv(mult_add_vector, mult_add_number, m, v, out);
}

static void divide_vector(const real *m, const real *v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] / v[i];
}

static void divide_number(const real *m, real v, real *out, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = m[i] / v;
}

void K(divide_mv)(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    (void)h;
    mv(divide_vector, divide_number, m, v, out);
}
