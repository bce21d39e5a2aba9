/* conv_sparse_tmpl.c - convolution backward where most out_deltas are 0, as behind max pooling and
 * rel, where one of seven is left.
 *
 * The deltas that are not 0 are gathered in two orders. By filters, for weight_deltas: a group of
 * vectors of a filter's window stays in registers, and value * inputs of all its terms are added.
 * By pixels, for in_deltas: a group of vectors of a pixel's window in a padded image stays in
 * registers, and value * weights of all its filters are added. */
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "handlers/cpu/conv_backward.h"

/* ---- terms ---- */

int K(conv_can_be_sparse)(const conv_back *c, int64_t group)
{
    return group * c->copy_size <= INT32_MAX && c->d_out.h * c->d_out.w * c->d_out.c <= INT32_MAX;
}

int K(conv_take_terms)(bs_handler *h, const conv_back *c, int64_t group, conv_terms *t)
{
    const int64_t filters = c->d_out.c, pixels = c->d_out.h * c->d_out.w,
                  all = pixels * filters + VEC; /* VEC are written at a time */
    t->room = group * pixels;
    t->term = bs_scratch_take(h, (size_t)(filters * t->room) * sizeof *t->term);
    t->end = bs_scratch_take(h, (size_t)filters * sizeof *t->end);
    t->value = bs_scratch_take(h, (size_t)all * sizeof *t->value);
    t->filter = bs_scratch_take(h, (size_t)all * sizeof *t->filter);
    t->pixel = bs_scratch_take(h, (size_t)pixels * sizeof *t->pixel);
    t->sorted = bs_scratch_take(h, (size_t)pixels * sizeof *t->sorted);
    t->of_size = bs_scratch_take(h, (size_t)(filters + 1) * sizeof *t->of_size);
    return t->term && t->end && t->value && t->filter && t->pixel && t->sorted && t->of_size;
}

/* Writes those of x[0 .. n) that are not 0, n <= VEC, and their filters first + i, one after
 * another; up to VEC places are written. Returns how many there are. */
#if defined(__AVX512F__) && BS_REAL_BITS == 32
static int32_t pick_nonzero(const real *x, int64_t n, int32_t first, real *value, int32_t *filter)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 v = _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
    const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm512_storeu_ps(value, _mm512_maskz_compress_ps(some, v));
    _mm512_storeu_si512(filter, _mm512_maskz_compress_epi32(
                                    some, _mm512_add_epi32(lane, _mm512_set1_epi32(first))));
    return __builtin_popcount(some);
}
#elif defined(__AVX512F__)
static int32_t pick_nonzero(const real *x, int64_t n, int32_t first, real *value, int32_t *filter)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m512d v = _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), x);
    const __mmask8 some = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NEQ_UQ);
    _mm512_storeu_pd(value, _mm512_maskz_compress_pd(some, v));
    _mm256_storeu_si256(
        (__m256i *)filter,
        _mm256_maskz_compress_epi32(some, _mm256_add_epi32(lane, _mm256_set1_epi32(first))));
    return __builtin_popcount(some);
}
#else
static int32_t pick_nonzero(const real *x, int64_t n, int32_t first, real *value, int32_t *filter)
{
    int32_t found = 0;
    for (int64_t i = 0; i < n; i++) { /* without a branch, which would be a guess */
        value[found] = x[i];
        filter[found] = first + (int32_t)i;
        found += x[i] != 0;
    }
    return found;
}
#endif

/* Sorts the pixels with terms by how many they have. Then the loop over the terms of a pixel ends
 * where the processor expects it, and windows that overlap are seldom neighbours. */
static void sort_pixels(const conv_back *c, conv_terms *t)
{
    const int64_t all = c->d_out.h * c->d_out.w;
    int32_t next = 0;
    memset(t->of_size, 0, (size_t)(c->d_out.c + 1) * sizeof *t->of_size);
    for (int64_t p = 0; p < all; p++)
        t->of_size[t->pixel[p].end - t->pixel[p].first]++;
    t->pixels = all - t->of_size[0];
    for (int64_t size = c->d_out.c; size >= 0; size--) {
        next += t->of_size[size];
        t->of_size[size] = next - t->of_size[size];
    }
    for (int64_t p = 0; p < all; p++)
        t->sorted[t->of_size[t->pixel[p].end - t->pixel[p].first]++] = t->pixel[p];
}

void K(conv_find_terms)(const conv_back *c, int64_t n, int64_t copy, conv_terms *t)
{
    int32_t found = 0;
    conv_pixel *pixel = t->pixel;
    for (int64_t row = 0; row < c->d_out.h; row++)
        for (int64_t col = 0; col < c->d_out.w; col++, pixel++) {
            const real *d = pixel_at(&c->d_out, n, row, col);
            pixel->first = found;
            pixel->at = (int32_t)(row * c->stride_rows * c->line + col * c->stride_cols * c->in.c);
            for (int64_t f = 0; f < c->d_out.c; f += VEC)
                found += pick_nonzero(d + f, min64(VEC, c->d_out.c - f), (int32_t)f,
                                      t->value + found, t->filter + found);
            pixel->end = found;
        }
    for (const conv_pixel *p = t->pixel; p < pixel; p++)
        for (int32_t k = p->first; k < p->end; k++)
            *t->end[t->filter[k]]++ = (conv_term){.value = t->value[k],
                                                  .at = (int32_t)copy + p->at};
    if (c->d_in.data)
        sort_pixels(c, t);
}

/* ---- weight_deltas ---- */

/* `vectors` is a literal in every call. Terms go to two sums in turn, since a sum has to wait for
 * its last addition. */
BS_INLINE void weight_group(const int vectors, const conv_back *c, const real *copies,
                            const conv_term *t, const conv_term *end, int64_t first, real *sums)
{
    vec even[GROUP], odd[GROUP];
    const real *x[GROUP];
    for (int v = 0; v < vectors; v++) {
        x[v] = copies + window_offset(c, first + v);
        even[v] = *(const vec *)(sums + (first + v) * VEC);
        odd[v] = (vec){0};
    }
    for (; t + 2 <= end; t += 2) {
        const conv_term a = t[0], b = t[1];
        for (int v = 0; v < vectors; v++)
            even[v] += a.value * *(const vec *)(x[v] + a.at);
        for (int v = 0; v < vectors; v++)
            odd[v] += b.value * *(const vec *)(x[v] + b.at);
    }
    for (int v = 0; v < vectors; v++) {
        if (t < end)
            even[v] += t->value * *(const vec *)(x[v] + t->at);
        *(vec *)(sums + (first + v) * VEC) = even[v] + odd[v];
    }
}

void K(sparse_weight_deltas)(const conv_back *c, const image_group *g, const conv_terms *t,
                             real *sums)
{
    for (int64_t f = 0; f < c->d_out.c; f++)
        for (int64_t first = 0, n; first < c->vectors; first += n) {
            n = group_size(c->vectors - first, GROUP);
            switch (n) {
#define WEIGHT_CASE(size)                                                                          \
    case size:                                                                                     \
        weight_group(size, c, g->copies, t->term + f * t->room, t->end[f], first,                  \
                     sums + f * c->vectors * VEC);                                                 \
        break;
                EACH_GROUP(WEIGHT_CASE)
            }
        }
}

/* ---- in_deltas ---- */

/* `vectors` is a literal in every call. */
BS_INLINE void input_group(const int vectors, const conv_back *c, const conv_terms *t,
                           int64_t first, const real *weights, real *d_copy)
{
    const int64_t row = c->vectors * VEC;
    int64_t offset[WIDE_GROUP];
    for (int v = 0; v < vectors; v++)
        offset[v] = window_offset(c, first + v);
    for (int64_t p = 0; p < t->pixels; p++) {
        const conv_pixel pixel = t->sorted[p];
        real *to = d_copy + pixel.at;
        vec sum[WIDE_GROUP];
        for (int v = 0; v < vectors; v++)
            sum[v] = *(const vec *)(to + offset[v]);
        for (int32_t k = pixel.first; k < pixel.end; k++) {
            const real *w = weights + t->filter[k] * row + first * VEC;
            for (int v = 0; v < vectors; v++)
                sum[v] += t->value[k] * *(const vec *)(w + v * VEC);
        }
        for (int v = 0; v < vectors; v++)
            *(vec *)(to + offset[v]) = sum[v];
    }
}

void K(sparse_in_deltas)(const conv_back *c, int64_t n, const conv_terms *t, const real *weights,
                         real *d_copy)
{
    memset(d_copy, 0, (size_t)c->copy_size * sizeof(real));
    for (int64_t first = 0, vectors; first < c->vectors; first += vectors) {
        vectors = group_size(c->vectors - first, WIDE_GROUP);
        switch (vectors) {
#define INPUT_CASE(size)                                                                           \
    case size: input_group(size, c, t, first, weights, d_copy); break;
            EACH_WIDE_GROUP(INPUT_CASE)
        }
    }
    add_padded(c, n, d_copy);
}
