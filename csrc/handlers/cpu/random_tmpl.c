/* random_tmpl.c - random numbers. Element i, in logical row-major order, of a draw depends on (key,
 * draw, i) only: its word is number i % 4 of Philox block i / 4.
 *
 * Masks compare words with round(p * 2^32) as integers. Normal numbers come in pairs by Box and
 * Muller: with the words a, b of elements 2k and 2k + 1, r = sqrt(-2 ln((a + 1) / 2^32)) and t = 2
 * pi b / 2^32, they are r cos t and r sin t. */
#include <math.h>
#include <string.h>

#include "handlers/cpu/kernels.h"

enum {
    BLOCKS = 32,
    WORDS = 4 * BLOCKS
}; /* made at a time, so that the rounds become vector code */

typedef struct philox_state {
    uint32_t c0[BLOCKS], c1[BLOCKS], c2[BLOCKS], c3[BLOCKS];
} philox_state;

/* Not inlined: alone it is a loop that compilers vectorise. */
static __attribute__((noinline)) void philox_round(philox_state *s, uint32_t k0, uint32_t k1)
{
    BS_IVDEP
    for (int b = 0; b < BLOCKS; b++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * s->c0[b], p1 = (uint64_t)0xCD9E8D57u * s->c2[b];
        const uint32_t c1 = s->c1[b], c3 = s->c3[b];
        s->c0[b] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        s->c2[b] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        s->c1[b] = (uint32_t)p1;
        s->c3[b] = (uint32_t)p0;
    }
}

/* The words of elements 4 * first .. 4 * first + WORDS - 1. The same as bs_philox, for BLOCKS
 * blocks side by side. */
static void philox_words(const bs_stream *stream, uint64_t first, uint32_t out[WORDS])
{
    philox_state s;
    uint32_t k0 = (uint32_t)stream->key, k1 = (uint32_t)(stream->key >> 32);
    for (int b = 0; b < BLOCKS; b++) {
        s.c0[b] = (uint32_t)(first + (uint64_t)b),
        s.c1[b] = (uint32_t)((first + (uint64_t)b) >> 32);
        s.c2[b] = (uint32_t)stream->draw, s.c3[b] = (uint32_t)(stream->draw >> 32);
    }
    for (int round = 0; round < 10; round++) {
        philox_round(&s, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int b = 0; b < BLOCKS; b++)
        out[4 * b] = s.c0[b], out[4 * b + 1] = s.c1[b], out[4 * b + 2] = s.c2[b],
                out[4 * b + 3] = s.c3[b];
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
