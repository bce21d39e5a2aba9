/* rows_tmpl.c - operations row by row, a row being the last dimension: softmax, merge and split,
 * reversal; and broadcast. */
#include <string.h>

#include "handlers/cpu/kernels.h"
#include "handlers/cpu/vmath.h"

typedef struct rows_job {
    row_job_function *f;
    void *job;
    int64_t rows, step;
} rows_job;

static void rows_task(void *context, int64_t task, int thread)
{
    const rows_job *j = context;
    const int64_t last = min64((task + 1) * j->step, j->rows);
    (void)thread;
    for (int64_t row = task * j->step; row < last; row++)
        j->f(j->job, row);
}

void K(each_row)(row_job_function *f, void *job, int64_t rows, int64_t cols)
{
    rows_job j = {.f = f, .job = job, .rows = rows, .step = rows_per_task(cols)};
    if (rows * cols < 2 * TILE)
        for (int64_t row = 0; row < rows; row++)
            f(job, row);
    else
        bs_parallel(div_up(rows, j.step), rows_task, &j);
}

typedef struct two_rows {
    row_view in, out;
} two_rows;

static void softmax_row(void *job, int64_t row)
{
    const two_rows *j = job;
    K(softmax_row)(row_at(&j->in, row), row_at(&j->out, row), j->in.n);
}

void K(softmax_m)(bs_handler *h, bs_a_ m, bs_a_ out)
{
    two_rows j = {rows_of(m), rows_of(out)};
    (void)h;
    K(each_row)(softmax_row, &j, j.in.rows, j.in.n * MATHS_COST);
}

/* Largest number and sum in lanes, so that they become vector code. */
enum { LANES = 2 * VEC };

static real largest(const real *x, int64_t n)
{
    real lane[LANES], top = n ? x[0] : 0;
    for (int l = 0; l < LANES; l++)
        lane[l] = top;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int l = 0; l < LANES; l++)
        top = lane[l] > top ? lane[l] : top;
    return top;
}

static real sum_of(const real *x, int64_t n)
{
    real lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l];
    for (; i < n; i++)
        sum += x[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

void K(softmax_row)(const real *x, real *p, int64_t n)
{
    const real top = largest(x, n);
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        p[i] = vexp(x[i] - top);
    const real scale = 1 / sum_of(p, n);
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        p[i] *= scale;
}

typedef struct three_rows {
    row_view a, b, whole;
} three_rows;

static void merge_row(void *job, int64_t row)
{
    const three_rows *j = job;
    real *out = row_at(&j->whole, row);
    memcpy(out, row_at(&j->a, row), (size_t)j->a.n * sizeof(real));
    memcpy(out + j->a.n, row_at(&j->b, row), (size_t)j->b.n * sizeof(real));
}

void K(merge_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    three_rows j = {rows_of(a), rows_of(b), rows_of(out)};
    (void)h;
    K(each_row)(merge_row, &j, j.whole.rows, j.whole.n);
}

static void split_row(void *job, int64_t row)
{
    const three_rows *j = job;
    const real *x = row_at(&j->whole, row);
    real *a = row_at(&j->a, row), *b = row_at(&j->b, row);
    BS_IVDEP
    for (int64_t i = 0; i < j->a.n; i++)
        a[i] += x[i];
    x += j->a.n;
    BS_IVDEP
    for (int64_t i = 0; i < j->b.n; i++)
        b[i] += x[i];
}

void K(split_add_tt)(bs_handler *h, bs_a_ x, bs_a_ out_a, bs_a_ out_b)
{
    three_rows j = {rows_of(out_a), rows_of(out_b), rows_of(x)};
    (void)h;
    K(each_row)(split_row, &j, j.whole.rows, j.whole.n);
}

/* ---- reversal ---- */

/* Copies n elements, starting at logical index `from` of a, to logical index `to` of out. */
static void copy_elements(const bs_array *a, int64_t from, const bs_array *out, int64_t to,
                          int64_t n)
{
    const int64_t a_cols = bs_cols(a), out_cols = bs_cols(out);
    while (n > 0) {
        const int64_t a_col = from % a_cols, out_col = to % out_cols;
        const int64_t run = min64(n, min64(a_cols - a_col, out_cols - out_col));
        memcpy((real *)out->data + to / out_cols * out->pitch + out_col,
               (const real *)a->data + from / a_cols * a->pitch + a_col,
               (size_t)run * sizeof(real));
        from += run, to += run, n -= run;
    }
}

typedef struct reverse_job {
    const bs_array *x, *mask, *y;
    int64_t *length; /* of each sequence */
    int64_t B, size; /* sequences; numbers of one step of one of them */
} reverse_job;

static void measure_sequence(void *job, int64_t b)
{
    const reverse_job *j = job;
    int64_t n = j->mask->dim[0];
    while (n > 0 && *element(j->mask, (n - 1) * j->B + b) == 0)
        n--;
    j->length[b] = n;
}

static void reverse_row(void *job, int64_t row)
{
    const reverse_job *j = job;
    const int64_t t = row / j->B, b = row % j->B, n = j->length[b];
    const int64_t from = (t < n ? n - 1 - t : t) * j->B + b;
    copy_elements(j->x, from * j->size, j->y, row * j->size, j->size);
}

void K(reverse_steps)(bs_handler *h, bs_a_ x, bs_a_ mask, bs_a_ y)
{
    const bs_mark mark = bs_scratch_mark(h);
    const int64_t T = x->dim[0], B = x->dim[1], count = bs_count(x);
    if (count == 0)
        return;
    int64_t *length = bs_scratch_take(h, (size_t)B * sizeof *length);
    if (!length)
        return;
    reverse_job j = {.x = x, .mask = mask, .y = y, .length = length, .B = B};
    j.size = count / (T * B);
    K(each_row)(measure_sequence, &j, B, T);
    K(each_row)(reverse_row, &j, T * B, j.size);
    bs_scratch_release(h, mark);
}

/* ---- broadcast ---- */

typedef struct broadcast_job {
    const bs_array *a, *out;
    int64_t repeats, inner; /* out is (outer, repeats, inner), a is (outer, inner) */
} broadcast_job;

static void broadcast_row(void *job, int64_t row)
{
    const broadcast_job *j = job;
    copy_elements(j->a, row / j->repeats * j->inner, j->out, row * j->inner, j->inner);
}

void K(broadcast_t)(bs_handler *h, bs_a_ a, int axis, bs_a_ out)
{
    broadcast_job j = {.a = a, .out = out, .repeats = out->dim[axis], .inner = 1};
    (void)h;
    for (int i = axis + 1; i < out->ndim; i++)
        j.inner *= out->dim[i];
    if (bs_count(out))
        K(each_row)(broadcast_row, &j, bs_count(out) / j.inner, j.inner);
}
