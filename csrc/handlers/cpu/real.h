/* real.h - what a *_tmpl.c is compiled for: BS_REAL_BITS (32 or 64) and BS_ISA (base, avx2 or
 * avx512).
 *
 * `real` is the number, K(name) the name of a function of this compilation: K(add_tt) is
 * bs_cpu_add_tt_f32_avx2. `vec` is a vector of VEC reals as wide as the instruction set's
 * registers. */
#ifndef BS_HANDLERS_CPU_REAL_H
#define BS_HANDLERS_CPU_REAL_H

#include <math.h>
#include <stdint.h>

#if BS_REAL_BITS == 32
typedef float real;
typedef int32_t real_int; /* of the same size */
typedef uint32_t real_bits;
#define BS_REAL_NAME  f32
#define REAL(x)       x##f    /* a literal */
#define REAL_FN(name) name##f /* a function of math.h */
#else
typedef double real;
typedef int64_t real_int;
typedef uint64_t real_bits;
#define BS_REAL_NAME  f64
#define REAL(x)       x
#define REAL_FN(name) name
#endif

#define BS_JOIN_(a, b, c) a##_##b##_##c
#define BS_JOIN(a, b, c)  BS_JOIN_(a, b, c)
#define K(name)           BS_JOIN(bs_cpu_##name, BS_REAL_NAME, BS_ISA)

#if defined(__AVX512F__)
enum { VEC_BYTES = 64 };
#elif defined(__AVX__)
enum { VEC_BYTES = 32 };
#else
enum { VEC_BYTES = 16 };
#endif
enum { VEC = VEC_BYTES / sizeof(real) };

typedef real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)),
                                may_alias)); /* for loads and stores anywhere */
/* What comparisons of vectors give: all bits of a lane, or none. */
typedef real_int lanes __attribute__((vector_size(VEC_BYTES)));

/* The loop behind it has no dependence from one turn to the next: an output is no input, or the
 * very same view. */
#if defined(__clang__)
#define BS_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define BS_IVDEP _Pragma("GCC ivdep")
#endif

#define BS_INLINE static inline __attribute__((always_inline, unused))

/* The loop behind it has a few turns, known to the compiler, and unrolls before arrays are looked
 * at, so that those it indexes become registers. clang does so unless it is told to. */
#if defined(__clang__)
#define BS_UNROLL
#else
#define BS_UNROLL _Pragma("GCC unroll 16")
#endif

static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
