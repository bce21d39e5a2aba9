/* philox.h - Philox4x32-10, a counter-based generator.
 * J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
#ifndef BS_BASE_PHILOX_H
#define BS_BASE_PHILOX_H

#include <stdint.h>

/* A stream of draws: element i of draw n depends on (key, n, i) alone, so it is the same on any
 * device and thread. */
typedef struct bs_stream {
    uint64_t key;  /* the seed */
    uint64_t draw; /* number of the next draw */
} bs_stream;

/* out = the four words of block `block` (elements 4*block .. 4*block + 3) of draw `draw`. */
static inline void bs_philox(uint64_t key, uint64_t draw, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32);
    uint32_t c2 = (uint32_t)draw, c3 = (uint32_t)(draw >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

#endif
