/* kernels.h - what the families of kernels of one compilation offer to each other.
 *
 * Every operation is K(name), declared from ops.def. All work is cut by shape alone, and partial
 * sums are added in a fixed order, so results do not depend on the number of threads. */
#ifndef BS_HANDLERS_CPU_KERNELS_H
#define BS_HANDLERS_CPU_KERNELS_H

#include "base/parallel.h"
#include "handlers/cpu/real.h"
#include "handlers/handler.h"

/* Optional rows that this handler leaves to fallback.c are declared too, and never defined. */
#define BS_OP(name, need, rule, signature, arguments, formula) bs_op_##signature K(name);
#include "handlers/ops.def"

void K(fill_table)(bs_device *device);
int K(is_fully_finite)(bs_handler *h, const bs_array *a);

/* ---- elementwise ---- */

/* out[i] = f(in[i], ...; s) over n elements that follow each other in every p[k]. */
typedef void row_function(real *const p[], int64_t n, const real s[]);

enum {
    MAX_OPERANDS = 5,
    TILE = 1 << 15,      /* elements of a task of cheap arithmetic */
    TILE_MATHS = 1 << 12 /* of exp, log and the like */
};

/* Calls f on runs of the n_arrays arrays, which have the same shape. s may be NULL. */
void K(elementwise)(row_function *f, int n_arrays, const bs_array *const arrays[], const real *s,
                    int64_t tile);

/* y = activation(y) over a run, with the same bits as the operation of that name. */
void K(activate_row)(bs_activation activation, real *y, int64_t n);
/* dx = dy activation'(y) over a run, by y alone; dx may be dy. */
void K(activate_deriv_row)(bs_activation activation, const real *y, const real *dy, real *dx,
                           int64_t n);

/* v = momentum * v + minus_rate * g, param += v over a run */
void K(momentum_row)(real minus_rate, real momentum, const real *g, real *v, real *param,
                     int64_t n);

/* ---- row by row ---- */

typedef void row_job_function(void *job, int64_t row); /* does one row */

/* Does `rows` rows, each of which costs as much as `cols` elements of cheap arithmetic. */
void K(each_row)(row_job_function *f, void *job, int64_t rows, int64_t cols);

enum { MATHS_COST = TILE / TILE_MATHS }; /* of an exp, in cheap elements */

static inline int64_t rows_per_task(int64_t cols) /* of about TILE elements */
{
    return cols >= TILE ? 1 : TILE / (cols > 0 ? cols : 1);
}

void K(softmax_row)(const real *x, real *p, int64_t n); /* p may be x */

/* Whether x is a whole number in [0, n). */
static inline int is_id(real x, int64_t n)
{
    return x >= 0 && x < (real)n && x == (real)(int64_t)x;
}

void K(fail_id)(bs_handler *h, const char *op, real id, int64_t row, int64_t n); /* sets BS_INDEX */

/* ---- products ---- */

/* v = momentum * v - rate * g, p += v, for a gradient g and v and p of its shape */
typedef struct momentum_update {
    real minus_rate, momentum;
    real *v, *p;
    int64_t v_pitch, p_pitch;
} momentum_update;

typedef struct product {
    int64_t m, n, k; /* op(a) is m x k, op(b) k x n */
    const real *a, *b;
    real *out;
    int64_t a_pitch, b_pitch, out_pitch;
    int transa, transb;            /* op(x) = x' */
    int add;                       /* out += instead of out = */
    const real *bias;              /* n numbers added to each row, or NULL; only without add */
    bs_activation activation;      /* applied last */
    const momentum_update *update; /* made of the output, a gradient, or NULL */
} product;

/* Elements of op(a) and op(b). */
static inline const real *a_at(const product *p, int64_t i, int64_t k)
{
    return p->a + (p->transa ? k * p->a_pitch + i : i * p->a_pitch + k);
}

static inline const real *b_at(const product *p, int64_t k, int64_t j)
{
    return p->b + (p->transb ? j * p->b_pitch + k : k * p->b_pitch + j);
}

void K(gemm)(bs_handler *h, const product *p);

/* Computes the product if it needs no preparation (gemm_direct_tmpl.c); else returns 0. */
int K(direct_product)(const product *p);

/* Computes the product if one matrix is one-hot (one_hot_tmpl.c) and that pays; else returns 0. */
int K(one_hot_product)(bs_handler *h, const product *p);

/* Bias, activation and update on columns [j, j + n) of row i of the output; nothing to do where
 * none is wanted. */
void K(finish_row)(const product *p, int64_t i, int64_t j, int64_t n);
static inline int wants_finish(const product *p)
{
    return p->bias || p->activation != BS_LINEAR || p->update;
}

/* ---- the register tile (tile_tmpl.c) ---- */

/* Up to MR rows x NR columns of a product are kept in registers: out[i][j] (+)= sum over
 * k < length of a[i][k] panel[k][j], in the order of k, wherever in the tile the element lies. NR
 * columns of the panel are read, `cols` of out are written.
 *
 * MR leaves registers for a row of the panel and one element of a. (With 11, clang no longer
 * unrolls the tile: a third of the speed.) */
#if defined(__AVX512F__) || defined(__aarch64__) /* 32 registers */
enum { MR = 10 };
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10)
#elif defined(__AVX__)
enum { MR = 6 };
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
enum { MR = 4 };
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4)
#endif
enum {
    NV = 2,
    NR = NV * VEC,
    BASES = (MR + 2) / 3 /* x86 reaches base, base + step and base + 2 step by one pointer */
};

/* Of the first of the tiles that divide so many rows (> 0) almost evenly. */
static inline int64_t tile_height(int64_t rows)
{
    BS_ASSERT(rows > 0);
    return div_up(rows, div_up(rows, MR));
}

/* A matrix that is wanted soon, which tiles bring into the second cache while they compute: AHEAD
 * elements every fourth k, down its rows, then the next strip of AHEAD columns. */
enum { AHEAD = 128 / sizeof(real) };

typedef struct ahead {
    const real *at;      /* NULL or behind the last strip: nothing */
    int64_t pitch, rows; /* of the matrix */
    int64_t row, strips; /* what is left: rows of this strip, strips */
} ahead;

static inline ahead ahead_of(const real *matrix, int64_t pitch, int64_t rows, int64_t cols)
{
    return (ahead){
        .at = matrix, .pitch = pitch, .rows = rows, .row = rows, .strips = div_up(cols, AHEAD)};
}

typedef struct tile_job {
    int64_t rows, length, cols; /* 0 < rows <= MR, 0 < cols <= NR */
    const real *a;
    int64_t a_row;     /* elements from a row to the next, whose k follow each other, */
    int is_turned;     /* or a is a strip of length x MR */
    const real *panel; /* length x NR */
    real *out;
    int64_t out_row; /* the rows may overlap: they are stored one after another */
    int add;         /* to what out holds */
    ahead ahead;     /* goes on from tile to tile */
} tile_job;

void K(tile)(tile_job *job);

/* Copies k rows of cols (<= NR) columns of op(b) into a panel of k x NR, zero behind the edge. */
void K(pack_panel)(real *panel, const real *b, int64_t k, int64_t cols, int64_t row_step,
                   int64_t col_step);
/* All panels of k x n numbers, one after another; the steps are as above. */
void K(pack_panels)(real *panels, const real *b, int64_t k, int64_t n, int64_t row_step,
                    int64_t col_step);

/* ---- errors inside tasks ---- */

/* The lowest row that failed, or INT64_MAX: the same whatever the order of tasks. */
static inline void note_row(int64_t *lowest, int64_t row)
{
    int64_t now = __atomic_load_n(lowest, __ATOMIC_RELAXED);
    while (row < now &&
           !__atomic_compare_exchange_n(lowest, &now, row, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* ---- views ---- */

/* a itself if its rows can be made of the first `lead` dimensions, else a packed copy in scratch
 * (data NULL: no memory). */
static inline bs_array with_rows(bs_handler *h, const bs_array *a, int lead)
{
    if (bs_has_lead(a, lead))
        return *a;
    const bs_array copy = bs_scratch_like(h, a);
    if (copy.data)
        K(copy_to)(h, a, &copy);
    return copy;
}

/* Element i in logical, row-major order. */
static inline real *element(const bs_array *a, int64_t i)
{
    const int64_t cols = bs_cols(a);
    return (real *)a->data + i / cols * a->pitch + i % cols;
}

/* A view as rows of `n` elements, the size of its last dimension. Row r starts at
 * data + (r / group) * pitch + (r % group) * n. */
typedef struct row_view {
    real *data;
    int64_t rows, n, group, pitch;
} row_view;

static inline row_view rows_of(const bs_array *a)
{
    const int64_t n = a->ndim ? a->dim[a->ndim - 1] : 1, cols = bs_cols(a);
    const int64_t group = n ? cols / n : 1;
    BS_ASSERT(a->lead < a->ndim || a->ndim == 0);
    return (row_view){.data = a->data,
                      .rows = n ? bs_count(a) / n : bs_rows(a),
                      .n = n,
                      .group = group ? group : 1,
                      .pitch = a->pitch};
}

static inline real *row_at(const row_view *v, int64_t row)
{
    if (v->group == 1)
        return v->data + row * v->pitch;
    return v->data + row / v->group * v->pitch + row % v->group * v->n;
}

#endif
