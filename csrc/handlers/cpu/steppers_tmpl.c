/* steppers_tmpl.c - updates of parameters, each in one pass over flat vectors. */
#include "handlers/cpu/kernels.h"

static void sgd_row(real *const p[], int64_t n, const real s[])
{
    const real *g = p[0], minus_rate = s[0];
    real *update = p[1], *param = p[2];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        update[i] = minus_rate * g[i];
        param[i] += update[i];
    }
}

void K(sgd_step)(bs_handler *h, double rate, bs_a_ g, bs_a_ update, bs_a_ p)
{
    (void)h;
    K(elementwise)
    (sgd_row, 3, (const bs_array *const[]){g, update, p}, (const real[]){(real)-rate}, TILE);
}

void K(momentum_row)(real minus_rate, real momentum, const real *g, real *v, real *param, int64_t n)
{
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        v[i] = momentum * v[i] + minus_rate * g[i];
        param[i] += v[i];
    }
}

static void momentum_run(real *const p[], int64_t n, const real s[])
{
    K(momentum_row)(s[0], s[1], p[0], p[1], p[2], n);
}

void K(momentum_step)(bs_handler *h, double rate, double momentum, bs_a_ g, bs_a_ v, bs_a_ p)
{
    (void)h;
    K(elementwise)
    (momentum_run, 3, (const bs_array *const[]){g, v, p},
     (const real[]){(real)-rate, (real)momentum}, TILE);
}

static void rmsprop_row(real *const p[], int64_t n, const real k[])
{
    const real *g = p[0], minus_rate = k[0], decay = k[1], epsilon = k[2], momentum = k[3];
    real *s = p[1], *v = p[2], *param = p[3];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        s[i] = decay * s[i] + (1 - decay) * g[i] * g[i];
        v[i] = momentum * v[i] + minus_rate * g[i] / (REAL_FN(sqrt)(s[i]) + epsilon);
        param[i] += v[i];
    }
}

void K(rmsprop_step)(bs_handler *h, double rate, double decay, double epsilon, double momentum,
                     bs_a_ g, bs_a_ s, bs_a_ v, bs_a_ p)
{
    (void)h;
    K(elementwise)
    (rmsprop_row, 4, (const bs_array *const[]){g, s, v, p},
     (const real[]){(real)-rate, (real)decay, (real)epsilon, (real)momentum}, TILE);
}

static void adam_row(real *const p[], int64_t n, const real k[])
{
    const real *g = p[0], minus_rate = k[0], beta1 = k[1], beta2 = k[2], epsilon = k[3],
               scale = k[4];
    real *m = p[1], *v = p[2], *param = p[3];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        param[i] += minus_rate * m[i] / (REAL_FN(sqrt)(v[i] * scale) + epsilon);
    }
}

void K(adam_step)(bs_handler *h, double rate, double beta1, double beta2, double epsilon,
                  double bias1, double bias2, bs_a_ g, bs_a_ m, bs_a_ v, bs_a_ p)
{
    (void)h;
    K(elementwise)
    (adam_row, 4, (const bs_array *const[]){g, m, v, p},
     (const real[]){(real)(-rate / bias1), (real)beta1, (real)beta2, (real)epsilon,
                    (real)(1 / bias2)},
     TILE);
}

static void adagrad_row(real *const p[], int64_t n, const real k[])
{
    const real *g = p[0], minus_rate = k[0], epsilon = k[1];
    real *s = p[1], *param = p[2];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        s[i] += g[i] * g[i];
        param[i] += minus_rate * g[i] / (REAL_FN(sqrt)(s[i]) + epsilon);
    }
}

void K(adagrad_step)(bs_handler *h, double rate, double epsilon, bs_a_ g, bs_a_ s, bs_a_ p)
{
    (void)h;
    K(elementwise)
    (adagrad_row, 3, (const bs_array *const[]){g, s, p}, (const real[]){(real)-rate, (real)epsilon},
     TILE);
}

static void adadelta_row(real *const p[], int64_t n, const real k[])
{
    const real *g = p[0], rate = k[0], decay = k[1], epsilon = k[2];
    real *s = p[1], *d = p[2], *param = p[3];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        s[i] = decay * s[i] + (1 - decay) * g[i] * g[i];
        const real u = REAL_FN(sqrt)(d[i] + epsilon) / REAL_FN(sqrt)(s[i] + epsilon) * g[i];
        d[i] = decay * d[i] + (1 - decay) * u * u;
        param[i] -= rate * u;
    }
}

void K(adadelta_step)(bs_handler *h, double rate, double decay, double epsilon, bs_a_ g, bs_a_ s,
                      bs_a_ d, bs_a_ p)
{
    (void)h;
    K(elementwise)
    (adadelta_row, 4, (const bs_array *const[]){g, s, d, p},
     (const real[]){(real)rate, (real)decay, (real)epsilon}, TILE);
}
