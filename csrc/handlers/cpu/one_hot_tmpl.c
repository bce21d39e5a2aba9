/* one_hot_tmpl.c - products with a matrix whose rows have at most one number that is not 0, as
 * encoded letters and classes have: rows are looked up, or added where they belong, instead of
 * multiplied.
 *
 * Whether a matrix is one is seen by reading it, which a dense one ends in its first row. The
 * values are those of the full product, but for infinities and NaN, which times 0 would be NaN:
 * where the other matrix has one, the full product is taken. */
#include <string.h>

#include "handlers/cpu/kernels.h"

enum {
    FEW = 64,         /* rows, or columns of the other matrix, with which it does not pay */
    STRIPE = 8 * VEC, /* columns that are added up at a time */
    MOST = 1 << 13 /* columns of a one-hot matrix; with more, the sums of a stripe are too large */
};

/* The only number of each row that is not 0, and its column; column 0 and value 0 if there is none.
 */
typedef struct one_hot {
    const real *data;
    int64_t rows, cols, pitch;
    int32_t *column;
    real *value;
    int fails;
} one_hot;

static void read_row(void *job, int64_t i)
{
    one_hot *x = job;
    const real *row = x->data + i * x->pitch;
    const int cols = (int)x->cols;
    int count = 0, last = 0;
    for (int c = 0; c < cols; c++) {
        const int there = row[c] != 0;
        count += there;
        last = there && c > last ? c : last;
    }
    x->column[i] = last;
    x->value[i] = row[last];
    if (count > 1)
        __atomic_store_n(&x->fails, 1, __ATOMIC_RELAXED);
}

/* Whether all rows are such; reads them into scratch. */
static int is_one_hot(bs_handler *h, one_hot *x)
{
    x->column = bs_scratch_take(h, (size_t)x->rows * sizeof *x->column);
    x->value = bs_scratch_take(h, (size_t)x->rows * sizeof *x->value);
    if (!x->column || !x->value)
        return 0;
    read_row(x, 0);
    if (!x->fails)
        K(each_row)(read_row, x, x->rows, x->cols);
    return !x->fails;
}

/* 0, or NaN if one of n * VEC numbers is no finite one. */
static real times_0(const real *x, int64_t n)
{
    vec sum = {0};
    real all = 0;
    for (int64_t i = 0; i < n; i++)
        sum += *(const vec *)(x + i * VEC) * 0;
    for (int l = 0; l < VEC; l++)
        all += sum[l];
    return all;
}

/* ---- out = x op(b): rows are looked up ---- */

typedef struct look_up {
    const product *p;
    const one_hot *x;
    const real *panels; /* op(b) in panels of NR columns */
} look_up;

static void look_up_row(void *job, int64_t i)
{
    const look_up *j = job;
    const product *p = j->p;
    const real value = j->x->value[i];
    real *out = p->out + i * p->out_pitch;
    for (int64_t start = 0; start < p->n; start += NR) {
        const real *row = j->panels + start * p->k + (int64_t)j->x->column[i] * NR;
        const int64_t cols = min64(NR, p->n - start);
        BS_IVDEP
        for (int64_t c = 0; c < cols; c++)
            out[start + c] = (p->add ? out[start + c] : 0) + value * row[c];
    }
    K(finish_row)(p, i, 0, p->n);
}

static int by_look_up(bs_handler *h, const product *p)
{
    one_hot x = {.data = p->a, .rows = p->m, .cols = p->k, .pitch = p->a_pitch};
    const int64_t panels = div_up(p->n, NR);
    if (!is_one_hot(h, &x))
        return 0;
    real *packed = bs_scratch_take(h, (size_t)(panels * p->k * NR) * sizeof(real));
    if (!packed)
        return 0;
    K(pack_panels)
    (packed, p->b, p->k, p->n, p->transb ? 1 : p->b_pitch, p->transb ? p->b_pitch : 1);
    if (times_0(packed, panels * p->k * (NR / VEC)) != 0)
        return 0;
    look_up job = {.p = p, .x = &x, .panels = packed};
    K(each_row)(look_up_row, &job, p->m, 2 * p->n);
    return 1;
}

/* ---- out = a' x: rows of a are added up where they belong ---- */

typedef struct scatter {
    const product *p;
    const one_hot *x;
    real *sums; /* for each thread: x->cols x STRIPE */
    int fails;
} scatter;

static void scatter_stripe(void *context, int64_t stripe, int thread)
{
    scatter *s = context;
    const product *p = s->p;
    const int64_t start = stripe * STRIPE, cols = min64(STRIPE, p->m - start);
    real *sums = s->sums + thread * s->x->cols * STRIPE, check[STRIPE] = {0};
    memset(sums, 0, (size_t)(s->x->cols * STRIPE) * sizeof(real));
    for (int64_t k = 0; k < p->k; k++) {
        const real *row = p->a + k * p->a_pitch + start, value = s->x->value[k];
        real *sum = sums + (int64_t)s->x->column[k] * STRIPE;
        BS_IVDEP
        for (int64_t c = 0; c < cols; c++) {
            sum[c] += value * row[c];
            check[c] += row[c] * 0;
        }
    }
    if (times_0(check, STRIPE / VEC) != 0)
        __atomic_store_n(&s->fails, 1, __ATOMIC_RELAXED);
    for (int64_t c = 0; c < cols; c++) {
        real *out = p->out + (start + c) * p->out_pitch;
        for (int64_t j = 0; j < p->n; j++)
            out[j] = sums[j * STRIPE + c];
    }
}

static void finish_whole_row(void *context, int64_t i)
{
    const product *p = context;
    K(finish_row)(p, i, 0, p->n);
}

static int by_scatter(bs_handler *h, const product *p)
{
    one_hot x = {.data = p->b, .rows = p->k, .cols = p->n, .pitch = p->b_pitch};
    scatter s = {.p = p, .x = &x};
    product copy = *p;
    if (!is_one_hot(h, &x))
        return 0;
    s.sums = bs_scratch_take(h, (size_t)(bs_num_threads() * x.cols * STRIPE) * sizeof(real));
    if (!s.sums)
        return 0;
    bs_parallel(div_up(p->m, STRIPE), scatter_stripe, &s);
    if (s.fails)
        return 0;
    if (wants_finish(p))
        K(each_row)(finish_whole_row, &copy, p->m, p->n);
    return 1;
}

int K(one_hot_product)(bs_handler *h, const product *p)
{
    const bs_mark mark = bs_scratch_mark(h);
    int done = 0;
    if (!p->transa && p->m >= FEW && p->n >= FEW && p->k > 1)
        done = by_look_up(h, p);
    else if (p->transa && !p->transb && !p->add && p->m >= FEW && p->k >= FEW && p->n > 1 &&
             p->n <= MOST)
        done = by_scatter(h, p);
    bs_scratch_release(h, mark);
    return done;
}
