/* tile_tmpl.c - the register tile: a block of MR x NR elements of a product whose sums stay in
 * registers, the core of all own products and convolutions. Each element is a sum in the order of
 * segments and k, whatever the block it lies in. */
#include <string.h>

#include "handlers/cpu/kernels.h"

enum { NV = NR / VEC }; /* vectors per row */

/* `rows` is a literal in every call, so all loops over it unroll and c becomes registers. */
BS_INLINE void sum_tile(const int rows, const tile_loop *loop, const tile_rows *r, const real *b,
                        const real *start, vec sum[MR][NV])
{
    const vec zero = {0}, start_0 = start ? *(const vec *)start : zero,
              start_1 = start ? *(const vec *)(start + VEC) : zero;
    const real *a[MR];
    vec c[MR][NV];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        a[i] = r->a[i < r->n ? i : 0]; /* rows that are not in use repeat the first one */
        c[i][0] = start_0, c[i][1] = start_1;
    }
    const int64_t a_step = loop->a_step, b_step = loop->b_step;
    for (int64_t s = 0; s < loop->segments; s++) {
        const real *b_at = b + s * loop->b_jump;
        int64_t a_at = s * loop->a_jump;
        for (int64_t k = 0; k < loop->length; k++) {
            const vec b0 = *(const vec *)b_at, b1 = *(const vec *)(b_at + VEC);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                c[i][0] += a[i][a_at] * b0;
                c[i][1] += a[i][a_at] * b1;
            }
            a_at += a_step;
            b_at += b_step;
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
        sum[i][0] = c[i][0], sum[i][1] = c[i][1];
}

static void store_row(real *out, const vec sum[NV], int64_t cols, int add)
{
    if (cols == NR) {
        vec *to = (vec *)out, *to_1 = (vec *)(out + VEC);
        if (add)
            *to += sum[0], *to_1 += sum[1];
        else
            *to = sum[0], *to_1 = sum[1];
        return;
    }
    real row[NR];
    memcpy(row, sum, sizeof row);
    for (int64_t j = 0; j < cols; j++)
        out[j] = add ? out[j] + row[j] : row[j];
}

void K(tile)(const tile_loop *loop, const tile_rows *rows, const real *b, int64_t cols,
             const real *start, int add)
{
    vec sum[MR][NV];
    if (rows->n > MR / 2)
        sum_tile(MR, loop, rows, b, start, sum);
    else if (rows->n > 1)
        sum_tile(MR / 2, loop, rows, b, start, sum);
    else
        sum_tile(1, loop, rows, b, start, sum);
    for (int i = 0; i < rows->n; i++)
        store_row(rows->out[i], sum[i], cols, add);
}

void K(pack_panel)(real *panel, const real *b, int64_t k, int64_t cols, int64_t row_step,
                   int64_t col_step)
{
    enum {
        BLOCK = 16
    }; /* rows of the panel that are filled at a time, so that they stay in the cache */
    if (cols < NR)
        memset(panel, 0, (size_t)(k * NR) * sizeof(real));
    if (col_step == 1) {
        for (int64_t i = 0; i < k; i++)
            memcpy(panel + i * NR, b + i * row_step, (size_t)cols * sizeof(real));
        return;
    }
    for (int64_t start = 0; start < k; start += BLOCK) {
        const int64_t end = min64(start + BLOCK, k);
        for (int64_t j = 0; j < cols; j++)
            for (int64_t i = start; i < end; i++)
                panel[i * NR + j] = b[i * row_step + j * col_step];
    }
}
