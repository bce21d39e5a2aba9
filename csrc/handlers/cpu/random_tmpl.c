/* random_tmpl.c - random numbers. Element i, in logical row-major order, of a draw depends on (key,
 * draw, i) only: its word is number i % 4 of Philox block i / 4.
 *
 * Masks compare words with round(p * 2^32) as integers. Normal numbers come in pairs by Box and
 * Muller: with the words a, b of elements 2k and 2k + 1, r = sqrt(-2 ln((a + 1) / 2^32)) and t = 2
 * pi b / 2^32, they are r cos t and r sin t. */
#include <math.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "handlers/cpu/kernels.h"

/* A word in each lane of 8 bytes, of whose upper half nobody takes notice. */
typedef uint64_t words_vector
    __attribute__((vector_size(VEC_BYTES), aligned(sizeof(uint64_t)), may_alias));

enum {
    LANES = VEC_BYTES / sizeof(uint64_t),
    GROUPS = 4, /* of LANES blocks, which are made at a time, since a round waits for the last */
    BLOCKS = GROUPS * LANES,
    WORDS = 4 * BLOCKS
};

/* The products of the words and m. x86 has an instruction that compilers do not find. */
BS_INLINE words_vector mult_words(words_vector words, uint32_t m)
{
#if defined(__AVX512F__)
    return (words_vector)_mm512_mul_epu32((__m512i)words, _mm512_set1_epi64(m));
#elif defined(__AVX2__)
    return (words_vector)_mm256_mul_epu32((__m256i)words, _mm256_set1_epi64x(m));
#elif defined(__SSE2__) && !defined(__AVX__)
    return (words_vector)_mm_mul_epu32((__m128i)words, _mm_set1_epi64x(m));
#else
    return (words & UINT32_MAX) * (uint64_t)m;
#endif
}

/* In the order of memory. */
BS_INLINE words_vector pair_words(words_vector first, words_vector second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (first & UINT32_MAX) | second << 32;
#else
    return first << 32 | (second & UINT32_MAX);
#endif
}

/* The words of elements 4 * first .. 4 * first + WORDS - 1. The same as bs_philox, for BLOCKS
 * blocks side by side. */
static void philox_words(const bs_stream *stream, uint64_t first, uint32_t out[WORDS])
{
    const words_vector zero = {0};
    words_vector lane = zero;
    words_vector c0[GROUPS], c1[GROUPS], c2[GROUPS], c3[GROUPS];
    uint32_t k0 = (uint32_t)stream->key, k1 = (uint32_t)(stream->key >> 32);
    for (int b = 0; b < LANES; b++)
        lane[b] = (uint64_t)b;
    for (int g = 0; g < GROUPS; g++) {
        c0[g] = lane + (first + (uint64_t)(g * LANES));
        c1[g] = c0[g] >> 32;
        c2[g] = zero + stream->draw;
        c3[g] = c2[g] >> 32;
    }
    for (int round = 0; round < 10; round++) {
        BS_UNROLL
        for (int g = 0; g < GROUPS; g++) {
            const words_vector p0 = mult_words(c0[g], 0xD2511F53u),
                               p1 = mult_words(c2[g], 0xCD9E8D57u);
            c0[g] = p1 >> 32 ^ c1[g] ^ (uint64_t)k0;
            c2[g] = p0 >> 32 ^ c3[g] ^ (uint64_t)k1;
            c1[g] = p1;
            c3[g] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int g = 0; g < GROUPS; g++) {
        uint32_t *block = out + 4 * g * LANES;
        uint64_t first_two[LANES], last_two[LANES];
        *(words_vector *)first_two = pair_words(c0[g], c1[g]);
        *(words_vector *)last_two = pair_words(c2[g], c3[g]);
        for (int b = 0; b < LANES; b++) {
            memcpy(block + 4 * b, &first_two[b], sizeof first_two[b]);
            memcpy(block + 4 * b + 2, &last_two[b], sizeof last_two[b]);
        }
    }
}

/* Makes up to WORDS elements of a draw from their words. */
typedef void words_function(const uint32_t words[WORDS], real out[WORDS], const double s[2]);

typedef struct random_job {
    words_function *f;
    double s[2];
    bs_stream stream; /* with this draw */
    const bs_array *out;
    int64_t count;
} random_job;

static void random_task(void *context, int64_t task, int thread)
{
    const random_job *j = context;
    const int64_t end = min64((task + 1) * TILE_MATHS, j->count);
    const int64_t cols = bs_is_packed(j->out) ? j->count : bs_cols(j->out);
    (void)thread;
    for (int64_t i = task * TILE_MATHS; i < end; i += WORDS) {
        uint32_t words[WORDS];
        real values[WORDS];
        const int64_t n = min64(WORDS, end - i);
        philox_words(&j->stream, (uint64_t)i / 4, words);
        j->f(words, values, j->s);
        for (int64_t k = 0; k < n;) {
            const int64_t col = (i + k) % cols, run = min64(n - k, cols - col);
            memcpy((real *)j->out->data + (i + k) / cols * j->out->pitch + col, values + k,
                   (size_t)run * sizeof(real));
            k += run;
        }
    }
}

static void draw(bs_handler *h, words_function *f, double s0, double s1, bs_a_ out)
{
    random_job j = {
        .f = f, .s = {s0, s1}, .stream = *h->stream, .out = out, .count = bs_count(out)};
    h->stream->draw++;
    bs_parallel(div_up(j.count, TILE_MATHS), random_task, &j);
}

static void mask_words(const uint32_t words[WORDS], real out[WORDS], const double s[2])
{
    const uint64_t threshold = (uint64_t)s[0];
    for (int i = 0; i < WORDS; i++)
        out[i] = words[i] < threshold ? 1 : 0;
}

void K(generate_probability_mask)(bs_handler *h, bs_a_ mask, double probability)
{
    const double p = probability > 0 ? probability < 1 ? probability : 1 : 0;
    draw(h, mask_words, nearbyint(p * 4294967296.0), 0, mask);
}

static void gaussian_words(const uint32_t words[WORDS], real out[WORDS], const double s[2])
{
    const double scale = 1.0 / 4294967296.0, two_pi = 6.283185307179586476925;
    for (int i = 0; i < WORDS; i += 2) {
        const double r = sqrt(-2 * log(((double)words[i] + 1) * scale)),
                     t = two_pi * (words[i + 1] * scale);
        out[i] = (real)(s[0] + s[1] * (r * cos(t)));
        out[i + 1] = (real)(s[0] + s[1] * (r * sin(t)));
    }
}

void K(fill_gaussian)(bs_handler *h, double mean, double std, bs_a_ out)
{
    draw(h, gaussian_words, mean, std, out);
}
