/* activation_tmpl.c - rel, tanh, sigmoid and el, and their derivatives in terms of y. NaN passes
 * through all of them. */
#include <string.h>

#include "handlers/cpu/kernels.h"
#include "handlers/cpu/vmath.h"

/* ---- y = f(x) ---- */

static void rel_row(real *const p[], int64_t n, const real s[])
{
    const real *x = p[0];
    real *y = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void tanh_row(real *const p[], int64_t n, const real s[])
{
    const real *x = p[0];
    real *y = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        y[i] = vtanh(x[i]);
}

static void sigmoid_row(real *const p[], int64_t n, const real s[])
{
    const real *x = p[0];
    real *y = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        y[i] = vsigmoid(x[i]);
}

static void el_row(real *const p[], int64_t n, const real s[])
{
    const real *x = p[0];
    real *y = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        y[i] = vel(x[i]);
}

void K(activate_row)(bs_activation activation, real *y, int64_t n)
{
    static row_function *const rows[BS_N_ACTIVATIONS] = {
        [BS_REL] = rel_row, [BS_TANH] = tanh_row, [BS_SIGMOID] = sigmoid_row, [BS_EL] = el_row};
    if (rows[activation])
        rows[activation]((real *const[]){y, y}, n, NULL);
}

static void walk_2(row_function *f, bs_a_ x, bs_a_ y, int64_t tile)
{
    K(elementwise)(f, 2, (const bs_array *const[]){x, y}, NULL, tile);
}

void K(rel)(bs_handler *h, bs_a_ x, bs_a_ y)
{
    (void)h;
    walk_2(rel_row, x, y, TILE);
}

void K(tanh)(bs_handler *h, bs_a_ x, bs_a_ y)
{
    (void)h;
    walk_2(tanh_row, x, y, TILE_MATHS);
}

void K(sigmoid)(bs_handler *h, bs_a_ x, bs_a_ y)
{
    (void)h;
    walk_2(sigmoid_row, x, y, TILE_MATHS);
}

void K(el)(bs_handler *h, bs_a_ x, bs_a_ y)
{
    (void)h;
    walk_2(el_row, x, y, TILE_MATHS);
}

/* ---- dx = dy f'(x), in terms of y: p is y, dy, dx. A NaN in y goes on into dx ---- */

static void rel_deriv_row(real *const p[], int64_t n, const real s[])
{
    const real *y = p[0], *dy = p[1];
    real *dx = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        const real d = dy[i], rest = y[i] <= 0 ? 0 : y[i]; /* read always: see copy_if_row */
        dx[i] = y[i] > 0 ? d : rest;
    }
}

static void tanh_deriv_row(real *const p[], int64_t n, const real s[])
{
    const real *y = p[0], *dy = p[1];
    real *dx = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * (1 - y[i] * y[i]);
}

static void sigmoid_deriv_row(real *const p[], int64_t n, const real s[])
{
    const real *y = p[0], *dy = p[1];
    real *dx = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * y[i] * (1 - y[i]);
}

static void el_deriv_row(real *const p[], int64_t n, const real s[])
{
    const real *y = p[0], *dy = p[1];
    real *dx = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        dx[i] = y[i] > 0 ? dy[i] : dy[i] * (y[i] + 1);
}

void K(activate_deriv_row)(bs_activation activation, const real *y, const real *dy, real *dx,
                           int64_t n)
{
    static row_function *const rows[BS_N_ACTIVATIONS] = {[BS_REL] = rel_deriv_row,
                                                         [BS_TANH] = tanh_deriv_row,
                                                         [BS_SIGMOID] = sigmoid_deriv_row,
                                                         [BS_EL] = el_deriv_row};
    if (rows[activation])
        rows[activation]((real *const[]){(real *)(uintptr_t)y, (real *)(uintptr_t)dy, dx}, n, NULL);
    else if (dx != dy)
        memcpy(dx, dy, (size_t)n * sizeof(real));
}

static void walk_deriv(row_function *f, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    K(elementwise)(f, 3, (const bs_array *const[]){y, dy, dx}, NULL, TILE);
}

void K(rel_deriv)(bs_handler *h, bs_a_ x, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    (void)h, (void)x;
    walk_deriv(rel_deriv_row, y, dy, dx);
}

void K(tanh_deriv)(bs_handler *h, bs_a_ x, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    (void)h, (void)x;
    walk_deriv(tanh_deriv_row, y, dy, dx);
}

void K(sigmoid_deriv)(bs_handler *h, bs_a_ x, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    (void)h, (void)x;
    walk_deriv(sigmoid_deriv_row, y, dy, dx);
}

void K(el_deriv)(bs_handler *h, bs_a_ x, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    (void)h, (void)x;
    walk_deriv(el_deriv_row, y, dy, dx);
}
