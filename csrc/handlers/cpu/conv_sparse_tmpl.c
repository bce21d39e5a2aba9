/* conv_sparse_tmpl.c - convolution backward where most out_deltas are 0, as behind max pooling and
 * rel, where one of seven is left.
 *
 * The deltas that are not 0 are sorted by filters into terms: value and place of the first input.
 * For a filter, a group of vectors of the window stays in registers over all its terms:
 * weight_deltas add value * inputs, in_deltas add value * weights to a padded image. */
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "handlers/cpu/conv_backward.h"

/* ---- terms ---- */

enum { FILTER_BITS = 16, FILTER = (1 << FILTER_BITS) - 1 }; /* of a key; those above: the column */

int K(conv_can_be_sparse)(const conv_back *c, int64_t group)
{
    return c->d_out.c <= FILTER && c->d_out.w <= INT32_MAX >> FILTER_BITS &&
           group * c->copy_size <= INT32_MAX;
}

/* Writes those of x[0 .. n) that are not 0, n <= VEC, and the keys first + i that belong to them,
 * one after another; up to VEC places are written. Returns how many there are. */
#if defined(__AVX512F__) && BS_REAL_BITS == 32
static int64_t pick_nonzero(const real *x, int64_t n, int32_t first, real *value, int32_t *key)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512 v = _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
    const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm512_storeu_ps(value, _mm512_maskz_compress_ps(some, v));
    _mm512_storeu_si512(
        key, _mm512_maskz_compress_epi32(some, _mm512_add_epi32(lane, _mm512_set1_epi32(first))));
    return __builtin_popcount(some);
}
#elif defined(__AVX512F__)
static int64_t pick_nonzero(const real *x, int64_t n, int32_t first, real *value, int32_t *key)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m512d v = _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), x);
    const __mmask8 some = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NEQ_UQ);
    _mm512_storeu_pd(value, _mm512_maskz_compress_pd(some, v));
    _mm256_storeu_si256(
        (__m256i *)key,
        _mm256_maskz_compress_epi32(some, _mm256_add_epi32(lane, _mm256_set1_epi32(first))));
    return __builtin_popcount(some);
}
#else
static int64_t pick_nonzero(const real *x, int64_t n, int32_t first, real *value, int32_t *key)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) { /* without a branch, which would be a guess */
        value[found] = x[i];
        key[found] = first + (int32_t)i;
        found += x[i] != 0;
    }
    return found;
}
#endif

static int64_t pick_line(const conv_back *c, int64_t n, int64_t row, const conv_terms *t)
{
    int64_t found = 0;
    for (int64_t col = 0; col < c->d_out.w; col++) {
        const real *d = pixel_at(&c->d_out, n, row, col);
        for (int64_t f = 0; f < c->d_out.c; f += VEC)
            found += pick_nonzero(d + f, min64(VEC, c->d_out.c - f),
                                  (int32_t)(col << FILTER_BITS | f), t->value + found,
                                  t->key + found);
    }
    return found;
}

void K(conv_find_terms)(const conv_back *c, int64_t n, int64_t copy, conv_terms *t)
{
    const int32_t step = (int32_t)(c->stride_cols * c->in.c);
    memcpy(t->last, t->end, (size_t)c->d_out.c * sizeof *t->end);
    for (int64_t row = 0; row < c->d_out.h; row++) {
        const int32_t start = (int32_t)(copy + row * c->stride_rows * c->line);
        const int64_t found = pick_line(c, n, row, t);
        for (int64_t k = 0; k < found; k++)
            *t->end[t->key[k] & FILTER]++ = (conv_term){
                .value = t->value[k], .at = start + (t->key[k] >> FILTER_BITS) * step};
    }
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
            n = group_size(c->vectors, first);
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
BS_INLINE void input_group(const int vectors, const conv_back *c, int64_t copy, const conv_term *t,
                           const conv_term *end, int64_t first, const real *weights, real *d_copy)
{
    vec w[GROUP];
    int64_t offset[GROUP];
    for (int v = 0; v < vectors; v++) {
        offset[v] = window_offset(c, first + v) - copy;
        w[v] = *(const vec *)(weights + (first + v) * VEC);
    }
    for (; t < end; t++) {
        const conv_term a = *t;
        for (int v = 0; v < vectors; v++)
            *(vec *)(d_copy + offset[v] + a.at) += a.value * w[v];
    }
}

void K(sparse_in_deltas)(const conv_back *c, int64_t n, int64_t copy, const conv_terms *t,
                         const real *weights, real *d_copy)
{
    memset(d_copy, 0, (size_t)c->copy_size * sizeof(real));
    for (int64_t f = 0; f < c->d_out.c; f++)
        for (int64_t first = 0, vectors; first < c->vectors; first += vectors) {
            vectors = group_size(c->vectors, first);
            switch (vectors) {
#define INPUT_CASE(size)                                                                           \
    case size:                                                                                     \
        input_group(size, c, copy, t->last[f], t->end[f], first, weights + f * c->vectors * VEC,   \
                    d_copy);                                                                       \
        break;
                EACH_GROUP(INPUT_CASE)
            }
        }
    add_padded(c, n, d_copy);
}
