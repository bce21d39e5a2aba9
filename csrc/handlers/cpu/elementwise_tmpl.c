/* elementwise_tmpl.c - operations whose result at a place depends on the operands at that place
 * only.
 *
 * The driver walks the arrays in runs, stretches that are contiguous in all of them, cut at fixed
 * tiles for the pool; each operation is a function of one run. Outputs may be the same view as
 * inputs. */
#include <stdatomic.h>
#include <string.h>

#include "handlers/cpu/kernels.h"

/* ---- the driver ---- */

typedef struct walk {
    row_function *f;
    const real *s;
    int n_arrays;
    int64_t run, runs; /* elements of a run, number of runs */
    int64_t cuts, step,
        bunch; /* run >= tile: cuts per run, of `step` elements; else runs per task */
    real *data[MAX_OPERANDS];
    int64_t pitch[MAX_OPERANDS]; /* from one packed row to the next */
    int64_t group[MAX_OPERANDS]; /* runs of a packed row */
} walk;

static void walk_task(void *context, int64_t task, int thread)
{
    const walk *w = context;
    const int64_t first = w->cuts > 1 ? task / w->cuts : task * w->bunch;
    const int64_t last = w->cuts > 1 ? first + 1 : min64(first + w->bunch, w->runs);
    const int64_t start = w->cuts > 1 ? task % w->cuts * w->step : 0;
    const int64_t n = w->cuts > 1 ? min64(w->step, w->run - start) : w->run;
    real *p[MAX_OPERANDS];
    (void)thread;
    for (int64_t run = first; run < last; run++) {
        for (int k = 0; k < w->n_arrays; k++)
            p[k] = w->group[k] == 1 ? w->data[k] + run * w->pitch[k] + start
                                    : w->data[k] + run / w->group[k] * w->pitch[k] +
                                          run % w->group[k] * w->run + start;
        w->f(p, n, w->s);
    }
}

void K(elementwise)(row_function *f, int n_arrays, const bs_array *const arrays[], const real *s,
                    int64_t tile)
{
    const int64_t count = bs_count(arrays[0]);
    walk w = {.f = f, .s = s, .n_arrays = n_arrays, .run = count};
    if (count == 0)
        return;
    for (int k = 0; k < n_arrays; k++)
        if (!bs_is_packed(arrays[k]))
            w.run = min64(w.run, bs_cols(arrays[k]));
    for (int k = 0; k < n_arrays; k++) {
        const int packed = bs_is_packed(arrays[k]);
        w.data[k] = arrays[k]->data;
        w.pitch[k] = packed ? w.run : arrays[k]->pitch;
        w.group[k] = packed ? 1 : bs_cols(arrays[k]) / w.run;
    }
    w.runs = count / w.run;
    w.cuts = w.run >= 2 * tile ? div_up(w.run, tile) : 1;
    w.step = tile;
    w.bunch = w.run >= tile ? 1 : tile / w.run;
    const int64_t tasks = w.cuts > 1 ? w.runs * w.cuts : div_up(w.runs, w.bunch);
    if (count < 2 * tile)
        for (int64_t task = 0; task < tasks; task++)
            walk_task(&w, task, 0);
    else
        bs_parallel(tasks, walk_task, &w);
}

static void walk_2(row_function *f, bs_a_ a, bs_a_ b, const real *s)
{
    K(elementwise)(f, 2, (const bs_array *const[]){a, b}, s, TILE);
}

static void walk_3(row_function *f, bs_a_ a, bs_a_ b, bs_a_ c, const real *s)
{
    K(elementwise)(f, 3, (const bs_array *const[]){a, b, c}, s, TILE);
}

/* ---- memory ---- */

static void copy_row(real *const p[], int64_t n, const real s[])
{
    (void)s;
    memmove(p[1], p[0], (size_t)n * sizeof(real));
}

void K(copy_to)(bs_handler *h, bs_a_ src, bs_a_ dest)
{
    (void)h;
    walk_2(copy_row, src, dest, NULL);
}

static void fill_row(real *const p[], int64_t n, const real s[])
{
    real *out = p[0];
    const real val = s[0];
    for (int64_t i = 0; i < n; i++)
        out[i] = val;
}

void K(fill)(bs_handler *h, bs_a_ mem, double val)
{
    (void)h;
    K(elementwise)(fill_row, 1, &mem, (const real[]){(real)val}, TILE);
}

/* Where an instruction set cannot mask its loads, a loop that reads an operand only in some turns
 * stays scalar, with a jump that nobody can predict: 20 times slower. So both are read always. */
static void copy_if_row(real *const p[], int64_t n, const real s[])
{
    const real *src = p[0], *cond = p[2];
    real *dest = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        const real x = src[i], old = dest[i];
        dest[i] = cond[i] != 0 ? x : old;
    }
}

void K(copy_to_if)(bs_handler *h, bs_a_ src, bs_a_ dest, bs_a_ cond)
{
    (void)h;
    walk_3(copy_if_row, src, dest, cond, NULL);
}

static void add_if_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], *cond = p[2];
    real *out = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        const real old = out[i], sum = old + a[i];
        out[i] = cond[i] != 0 ? sum : old;
    }
}

void K(add_into_if)(bs_handler *h, bs_a_ a, bs_a_ out, bs_a_ cond)
{
    (void)h;
    walk_3(add_if_row, a, out, cond, NULL);
}

static void fill_if_row(real *const p[], int64_t n, const real s[])
{
    const real *cond = p[1], val = s[0];
    real *mem = p[0];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        mem[i] = cond[i] != 0 ? val : mem[i];
}

void K(fill_if)(bs_handler *h, bs_a_ mem, double val, bs_a_ cond)
{
    (void)h;
    walk_2(fill_if_row, mem, cond, (const real[]){(real)val});
}

/* ---- of one array ---- */

static void abs_row(real *const p[], int64_t n, const real s[])
{
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        p[1][i] = REAL_FN(fabs)(p[0][i]);
}

void K(abs_t)(bs_handler *h, bs_a_ a, bs_a_ out)
{
    (void)h;
    walk_2(abs_row, a, out, NULL);
}

static void sign_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0];
    real *out = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] > 0 ? 1 : a[i] < 0 ? -1 : a[i] == 0 ? 0 : a[i]; /* NaN stays */
}

void K(sign_t)(bs_handler *h, bs_a_ a, bs_a_ out)
{
    (void)h;
    walk_2(sign_row, a, out, NULL);
}

static void sqrt_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0];
    real *out = p[1];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = REAL_FN(sqrt)(a[i]);
}

void K(sqrt_t)(bs_handler *h, bs_a_ a, bs_a_ out)
{
    (void)h;
    walk_2(sqrt_row, a, out, NULL);
}

static void log_row(real *const p[], int64_t n, const real s[])
{
    (void)s;
    for (int64_t i = 0; i < n; i++)
        p[1][i] = REAL_FN(log)(p[0][i]);
}

void K(log_t)(bs_handler *h, bs_a_ a, bs_a_ out)
{
    (void)h;
    K(elementwise)(log_row, 2, (const bs_array *const[]){a, out}, NULL, TILE_MATHS);
}

static void clip_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], low = s[0], high = s[1];
    real *out = p[1];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++) {
        const real x = a[i] < low ? low : a[i];
        out[i] = x > high ? high : x;
    }
}

void K(clip_t)(bs_handler *h, bs_a_ a, double a_min, double a_max, bs_a_ out)
{
    (void)h;
    walk_2(clip_row, a, out, (const real[]){(real)a_min, (real)a_max});
}

/* ---- of two arrays ---- */

static void add_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], *b = p[1];
    real *out = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

void K(add_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    (void)h;
    walk_3(add_row, a, b, out, NULL);
}

static void subtract_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], *b = p[1];
    real *out = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] - b[i];
}

void K(subtract_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    (void)h;
    walk_3(subtract_row, a, b, out, NULL);
}

static void mult_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], *b = p[1];
    real *out = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] * b[i];
}

void K(mult_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    (void)h;
    walk_3(mult_row, a, b, out, NULL);
}

static void mult_add_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], *b = p[1];
    real *out = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] += a[i] * b[i];
}

void K(mult_add_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    (void)h;
    walk_3(mult_add_row, a, b, out, NULL);
}

static void divide_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0], *b = p[1];
    real *out = p[2];
    (void)s;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] / b[i];
}

void K(divide_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    (void)h;
    walk_3(divide_row, a, b, out, NULL);
}

static void modulo_row(real *const p[], int64_t n, const real s[])
{
    (void)s;
    for (int64_t i = 0; i < n; i++)
        p[2][i] = REAL_FN(fmod)(p[0][i], p[1][i]);
}

void K(modulo_tt)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    (void)h;
    K(elementwise)(modulo_row, 3, (const bs_array *const[]){a, b, out}, NULL, TILE_MATHS);
}

/* ---- of a scalar and an array ---- */

static void add_scalar_row(real *const p[], int64_t n, const real s[])
{
    const real *t = p[0], scalar = s[0];
    real *out = p[1];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = scalar + t[i];
}

void K(add_st)(bs_handler *h, double s, bs_a_ t, bs_a_ out)
{
    (void)h;
    walk_2(add_scalar_row, t, out, (const real[]){(real)s});
}

static void mult_scalar_row(real *const p[], int64_t n, const real s[])
{
    const real *t = p[0], scalar = s[0];
    real *out = p[1];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] = scalar * t[i];
}

void K(mult_st)(bs_handler *h, double s, bs_a_ t, bs_a_ out)
{
    (void)h;
    walk_2(mult_scalar_row, t, out, (const real[]){(real)s});
}

static void mult_add_scalar_row(real *const p[], int64_t n, const real s[])
{
    const real *t = p[0], scalar = s[0];
    real *out = p[1];
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        out[i] += scalar * t[i];
}

void K(mult_add_st)(bs_handler *h, double s, bs_a_ t, bs_a_ out)
{
    (void)h;
    walk_2(mult_add_scalar_row, t, out, (const real[]){(real)s});
}

/* ---- a question ---- */

/* x - x is 0 for finite x, else NaN; a sum of such is 0 or NaN. s is really an atomic_int, set if
 * something is not finite. */
static void finite_row(real *const p[], int64_t n, const real s[])
{
    const real *a = p[0];
    real_bits bad = 0;
    BS_IVDEP
    for (int64_t i = 0; i < n; i++)
        bad |= (real_bits)(a[i] - a[i] != 0);
    if (bad)
        atomic_store((atomic_int *)(uintptr_t)s, 1);
}

int K(is_fully_finite)(bs_handler *h, const bs_array *a)
{
    atomic_int bad = 0;
    (void)h;
    K(elementwise)(finite_row, 1, &a, (const real *)(uintptr_t)&bad, TILE);
    return !atomic_load(&bad);
}
