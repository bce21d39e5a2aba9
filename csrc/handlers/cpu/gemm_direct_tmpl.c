/* gemm_direct_tmpl.c - products that read their matrices where they lie, since packing them would
 * cost more than the product: tiny ones, and those with few rows or with sums of few terms. */
#include <string.h>

#include "handlers/cpu/kernels.h"

enum {
    TINY = 1 << 12, /* multiplications below which nothing is worth its preparation */
    FEW_ROWS = 2,
    FEW_TERMS = 4
};

void K(finish_row)(const product *p, int64_t i, int64_t j, int64_t n)
{
    const momentum_update *u = p->update;
    real *out = p->out + i * p->out_pitch + j;
    if (p->bias) {
        const real *bias = p->bias + j;
        BS_IVDEP
        for (int64_t c = 0; c < n; c++)
            out[c] += bias[c];
    }
    K(activate_row)(p->activation, out, n);
    if (u) {
        const int64_t v = i * u->v_pitch + j, param = i * u->p_pitch + j;
        K(momentum_row)(u->minus_rate, u->momentum, out, u->v + v, u->p + param, n);
    }
}

static real dot(const real *a, int64_t a_step, const real *b, int64_t n)
{
    enum { LANES = 4 * VEC };
    real lane[LANES] = {0}, sum = 0;
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += a[(k + l) * a_step] * b[k + l];
    for (; k < n; k++)
        sum += a[k * a_step] * b[k];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static void tiny(const product *p)
{
    const int64_t a_step = p->transa ? p->a_pitch : 1;
    for (int64_t i = 0; i < p->m; i++) {
        const real *a = a_at(p, i, 0);
        real *out = p->out + i * p->out_pitch;
        if (!p->add)
            memset(out, 0, (size_t)p->n * sizeof(real));
        if (p->transb)
            for (int64_t j = 0; j < p->n; j++)
                out[j] += dot(a, a_step, b_at(p, 0, j), p->k);
        for (int64_t k = 0; k < p->k && !p->transb; k++) {
            const real x = a[k * a_step], *b = b_at(p, k, 0);
            BS_IVDEP
            for (int64_t j = 0; j < p->n; j++)
                out[j] += x * b[j];
        }
        K(finish_row)(p, i, 0, p->n);
    }
}

/* Column j of a product of few rows with a turned b: the columns are rows of b, each read once. */
static void few_rows_column(void *context, int64_t j)
{
    const product *p = context;
    for (int64_t i = 0; i < p->m; i++) {
        real *out = p->out + i * p->out_pitch + j;
        *out = (p->add ? *out : 0) +
               dot(a_at(p, i, 0), p->transa ? p->a_pitch : 1, b_at(p, 0, j), p->k);
    }
}

enum { STRIPE = 8 * VEC }; /* columns whose sums are on the stack */

/* The same with b as it is: a stripe of columns, all rows of b. */
static void few_rows_stripe(void *context, int64_t stripe)
{
    const product *p = context;
    const int64_t j = stripe * STRIPE, n = min64(STRIPE, p->n - j),
                  step = p->transa ? p->a_pitch : 1;
    for (int64_t i = 0; i < p->m; i++) {
        real sum[STRIPE] = {0}, *out = p->out + i * p->out_pitch + j;
        const real *a = a_at(p, i, 0);
        for (int64_t k = 0; k < p->k; k++) {
            const real x = a[k * step], *b = b_at(p, k, j);
            for (int64_t c = 0; c < n; c++)
                sum[c] += x * b[c];
        }
        for (int64_t c = 0; c < n; c++)
            out[c] = (p->add ? out[c] : 0) + sum[c];
    }
}

static void few_rows(const product *p)
{
    product copy = *p;
    if (p->transb)
        K(each_row)(few_rows_column, &copy, p->n, p->m * p->k);
    else
        K(each_row)(few_rows_stripe, &copy, div_up(p->n, STRIPE), p->m * p->k * STRIPE);
    for (int64_t i = 0; i < p->m; i++)
        K(finish_row)(p, i, 0, p->n);
}

/* A row of a product with short sums and b as it is. */
static void few_terms_row(void *context, int64_t i)
{
    const product *p = context;
    real *out = p->out + i * p->out_pitch;
    for (int64_t k = 0; k < p->k; k++) {
        const real x = *a_at(p, i, k), *b = b_at(p, k, 0);
        const int add = p->add || k > 0;
        BS_IVDEP
        for (int64_t j = 0; j < p->n; j++)
            out[j] = (add ? out[j] : 0) + x * b[j];
    }
    K(finish_row)(p, i, 0, p->n);
}

int K(direct_product)(const product *p)
{
    product copy = *p;
    if (p->m * p->n * p->k <= TINY)
        tiny(p);
    else if (p->m <= FEW_ROWS)
        few_rows(p);
    else if (p->k <= FEW_TERMS && !p->transb)
        K(each_row)(few_terms_row, &copy, p->m, p->n * p->k);
    else
        return 0;
    return 1;
}
