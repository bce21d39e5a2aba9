/* tile_tmpl.c - the register tile: up to MR x NR elements of a product whose sums stay in
 * registers, the core of all own products, and the panels it reads. */
#include <string.h>

#include "handlers/cpu/kernels.h"

/* A row that ends inside the tile. */
static __attribute__((noinline)) void store_part(real *out, vec sum_0, vec sum_1, int64_t cols,
                                                 int add)
{
    real row[NR];
    *(vec *)row = sum_0, *(vec *)(row + VEC) = sum_1;
    for (int64_t j = 0; j < cols; j++)
        out[j] = add ? out[j] + row[j] : row[j];
}

BS_INLINE void store_row(real *out, vec sum_0, vec sum_1, int64_t cols, int add)
{
    vec *to = (vec *)out, *to_1 = (vec *)(out + VEC);
    if (cols < NR)
        store_part(out, sum_0, sum_1, cols, add);
    else if (add)
        *to += sum_0, *to_1 += sum_1;
    else
        *to = sum_0, *to_1 = sum_1;
}

/* Adds what one k gives, and goes on to the next. */
BS_INLINE void add_term(const int rows, const real *a[], int64_t row, int64_t step, const real *b,
                        vec sum[][NV])
{
    const vec b0 = *(const vec *)b, b1 = *(const vec *)(b + VEC);
    BS_UNROLL
    for (int i = 0; i < rows; i++) {
        const real x = a[i / 3][i % 3 * row];
        sum[i][0] += x * b0;
        sum[i][1] += x * b1;
    }
    for (int i = 0; 3 * i < rows; i++)
        a[i] += step;
}

/* The end of each half: where a row begins inside a line, its first line came with the chunk
 * before. */
BS_INLINE void bring_chunk(ahead *x)
{
    __builtin_prefetch(x->at + AHEAD / 2 - 1, 0, 2);
    __builtin_prefetch(x->at + AHEAD - 1, 0, 2);
    x->at += x->pitch;
    if (--x->row > 0)
        return;
    x->at += AHEAD - x->rows * x->pitch;
    x->row = x->rows;
    if (--x->strips == 0)
        x->at = NULL;
}

/* `rows` and `is_turned` are literals in every call, so all loops over rows unroll and sum becomes
 * registers. */
BS_INLINE void sum_tile(const int rows, const int is_turned, tile_job *job)
{
    const tile_job t = *job;
    const real *a[BASES], *b = t.panel;
    vec sum[MR][NV];
    const int64_t row = is_turned ? 1 : t.a_row, step = is_turned ? MR : 1;
    for (int i = 0; 3 * i < rows; i++)
        a[i] = t.a + 3 * i * row;
    BS_UNROLL
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = (vec){0};
    ahead next = t.ahead;
    int64_t k = 0;
    for (; k + 4 <= t.length; k += 4) {
        if (next.at)
            bring_chunk(&next);
        BS_UNROLL
        for (int i = 0; i < 4; i++, b += NR)
            add_term(rows, a, row, step, b, sum);
    }
    job->ahead = next;
    for (; k < t.length; k++, b += NR)
        add_term(rows, a, row, step, b, sum);
    BS_UNROLL
    for (int i = 0; i < rows; i++)
        store_row(t.out + i * t.out_row, sum[i][0], sum[i][1], t.cols, t.add);
}

#define DEFINE_TILE(rows)                                                                          \
    static void tile_##rows(tile_job *job)                                                         \
    {                                                                                              \
        if (job->is_turned)                                                                        \
            sum_tile(rows, 1, job);                                                                \
        else                                                                                       \
            sum_tile(rows, 0, job);                                                                \
    }
EACH_HEIGHT(DEFINE_TILE)

void K(tile)(tile_job *job)
{
#define TILE_OF(rows) tile_##rows,
    static void (*const tiles[MR + 1])(tile_job *) = {NULL, EACH_HEIGHT(TILE_OF)};
    for (int64_t i = 0; i < job->rows; i++) { /* wanted when all is summed up, and often far away */
        __builtin_prefetch(job->out + i * job->out_row, 1, 3);
        __builtin_prefetch(job->out + i * job->out_row + job->cols - 1, 1, 3);
    }
    tiles[job->rows](job);
}

/* ---- panels ---- */

/* LOW(a, b) = a0 b0 a1 b1 ..., HIGH the same of the upper halves. */
#if !defined(__has_builtin)
#define __has_builtin(x) 0
#endif
#if !__has_builtin(__builtin_shufflevector) /* gcc before version 12 */
#define NO_SHUFFLES
#elif BS_REAL_BITS == 32 && defined(__AVX512F__)
#define LOW(a, b)                                                                                  \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b)                                                                                 \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif defined(__AVX512F__) || (BS_REAL_BITS == 32 && defined(__AVX__))
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif BS_REAL_BITS == 32 || defined(__AVX__)
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 2)
#define HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

/* to[i * NR + j] = from[j * pitch + i], i, j < VEC. A round moves the highest bit of the row's
 * number to the lowest of the column's and the highest of the column's to the lowest of the row's;
 * when all bits have moved, rows are columns. */
#if defined(NO_SHUFFLES)
static void transpose_square(const real *from, int64_t pitch, real *to)
{
    for (int j = 0; j < VEC; j++)
        for (int i = 0; i < VEC; i++)
            to[i * NR + j] = from[j * pitch + i];
}
#else
static void transpose_square(const real *from, int64_t pitch, real *to)
{
    vec row[VEC], turned[VEC];
    BS_UNROLL
    for (int i = 0; i < VEC; i++)
        row[i] = *(const vec *)(from + i * pitch);
    BS_UNROLL
    for (int round = 1; round < VEC; round *= 2) {
        BS_UNROLL
        for (int i = 0; i < VEC / 2; i++) {
            turned[2 * i] = LOW(row[i], row[i + VEC / 2]);
            turned[2 * i + 1] = HIGH(row[i], row[i + VEC / 2]);
        }
        BS_UNROLL
        for (int i = 0; i < VEC; i++)
            row[i] = turned[i];
    }
    BS_UNROLL
    for (int i = 0; i < VEC; i++)
        *(vec *)(to + i * NR) = row[i];
}
#endif

/* The panel of columns that are rows of memory. */
static void turn_panel(real *panel, const real *b, int64_t k, int64_t cols, int64_t pitch)
{
    const int64_t whole = k / VEC * VEC;
    for (int64_t i = 0; i < whole; i += VEC) {
        for (int64_t j = 0; j + VEC <= cols; j += VEC)
            transpose_square(b + j * pitch + i, pitch, panel + i * NR + j);
        for (int64_t j = cols / VEC * VEC; j < cols; j++)
            for (int64_t l = i; l < i + VEC; l++)
                panel[l * NR + j] = b[j * pitch + l];
    }
    for (int64_t i = whole; i < k; i++)
        for (int64_t j = 0; j < cols; j++)
            panel[i * NR + j] = b[j * pitch + i];
}

void K(pack_panel)(real *panel, const real *b, int64_t k, int64_t cols, int64_t row_step,
                   int64_t col_step)
{
    if (cols < NR)
        memset(panel, 0, (size_t)(k * NR) * sizeof(real));
    if (col_step != 1) {
        BS_ASSERT(row_step == 1);
        turn_panel(panel, b, k, cols, col_step);
        return;
    }
    for (int64_t i = 0; i < k && cols == NR; i++) /* a size known beforehand is no call */
        memcpy(panel + i * NR, b + i * row_step, NR * sizeof(real));
    for (int64_t i = 0; i < k && cols < NR; i++)
        memcpy(panel + i * NR, b + i * row_step, (size_t)cols * sizeof(real));
}

void K(pack_panels)(real *panels, const real *b, int64_t k, int64_t n, int64_t row_step,
                    int64_t col_step)
{
    for (int64_t j = 0; j < n; j += NR)
        K(pack_panel)(panels + j * k, b + j * col_step, k, min64(NR, n - j), row_step, col_step);
}
