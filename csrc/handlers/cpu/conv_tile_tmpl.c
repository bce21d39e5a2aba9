/* conv_tile_tmpl.c - the register tile of convolutions: some neighbouring pixels of one line of the
 * output times NR output channels (or half of them), whose sums stay in registers.
 *
 * Neighbours have their windows a fixed step apart, so a tile of any height needs few addresses,
 * and a line is cut into tiles of nearly the same height: 15 pixels are 8 and 7. Each element is a
 * sum over the window in one order, whatever the tile it lies in. */
#include <string.h>

#include "handlers/cpu/images.h"

static void store(real *out, vec sum, int64_t n, int add)
{
    if (n >= VEC) {
        if (add)
            *(vec *)out += sum;
        else
            *(vec *)out = sum;
        return;
    }
    real row[VEC];
    memcpy(row, &sum, sizeof row);
    for (int64_t i = 0; i < n; i++)
        out[i] = add ? out[i] + row[i] : row[i];
}

/* `pixels` and `vectors` are literals in every call, so that `sum` becomes registers. */
BS_INLINE void tile(const int pixels, const int vectors, const conv_line *l, const real *in,
                    real *out)
{
    const int64_t step = l->in_pixel;
    const real *weights = l->weights;
    vec start[NV] = {{0}}, sum[MR][NV];
    for (int v = 0; v < vectors && l->start; v++)
        start[v] = *(const vec *)(l->start + v * VEC);
    BS_UNROLL
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vectors; v++)
            sum[p][v] = start[v];
    for (int64_t i = 0; i < l->segments; i++) {
        const real *base[BASES];
        for (int b = 0; 3 * b < pixels; b++)
            base[b] = in + i * l->in_line + 3 * b * step;
        for (int64_t k = 0; k < l->length; k++, weights += NR) {
            vec w[NV];
            for (int v = 0; v < vectors; v++)
                w[v] = *(const vec *)(weights + v * VEC);
            BS_UNROLL
            for (int p = 0; p < pixels; p++) {
                const real x = base[p / 3][p % 3 * step + k];
                for (int v = 0; v < vectors; v++)
                    sum[p][v] += x * w[v];
            }
        }
    }
    /* a copy, since clang unrolls no loop as large as that of stores */
    vec done[MR][NV];
    BS_UNROLL
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vectors; v++)
            done[p][v] = sum[p][v];
    for (int p = 0; p < pixels; p++)
        for (int v = 0; v < vectors; v++)
            store(out + p * l->out_pixel + v * VEC, done[p][v], l->channels - v * VEC, l->add);
}

typedef void tile_function(const conv_line *l, const real *in, real *out);

#define DEFINE_TILES(n)                                                                            \
    static void tile_##n##_whole(const conv_line *l, const real *in, real *out)                    \
    {                                                                                              \
        tile(n, NV, l, in, out);                                                                   \
    }                                                                                              \
    static void tile_##n##_half(const conv_line *l, const real *in, real *out)                     \
    {                                                                                              \
        tile(n, 1, l, in, out);                                                                    \
    }
EACH_HEIGHT(DEFINE_TILES)

void K(conv_line)(const conv_line *l)
{
#define TILES(n) {tile_##n##_half, tile_##n##_whole},
    static tile_function *const tiles[MR + 1][2] = {{NULL, NULL}, EACH_HEIGHT(TILES)};
    for (int64_t pixel = 0, n; pixel < l->pixels; pixel += n) {
        n = tile_height(l->pixels - pixel);
        tiles[n][l->channels > VEC](l, l->in + pixel * l->in_pixel, l->out + pixel * l->out_pixel);
    }
}
