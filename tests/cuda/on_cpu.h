/* on_cpu.h - stands in front of a module of kernels where it is compiled as C: what the words of
 * common.cu mean on the CPU. VARIANT (float_int ...) ends the names of the kernels. */
#ifndef TESTS_CUDA_ON_CPU_H
#define TESTS_CUDA_ON_CPU_H

#include <math.h>
#include <stddef.h>

#include "handlers/cuda/kernel_args.h"

#define ON_CPU
#define JOINED_(name, variant) bs_##name##_##variant
#define JOINED(name, variant)  JOINED_(name, variant)
#define KERNEL(name)           void JOINED(name, VARIANT)(const bs_kernel_args args)
#define DEVICE                 static inline
#define SHARED(type, name, n)                                                                      \
    static const char name##_key;                                                                  \
    type *const name = double_shared(&name##_key, sizeof(type) * (n))
#define SYNC()                   double_sync(__LINE__)
#define FROM_LANE(value, mask)   ((real)double_from_lane((value), (mask), __LINE__))
#define ATOMIC_MIN(place, value) double_atomic_min((place), (value))
#define HIGH_WORD(a, b)          ((word)((long_word)(a) * (b) >> 32))

#define ON_CPU_API __attribute__((visibility("default")))

/* Who is running; there is one thread of the GPU at a time. */
struct double_dim {
    unsigned x;
};
extern ON_CPU_API struct double_dim threadIdx, blockIdx, blockDim, gridDim;

/* Lines are those of the kernel, for reports and to tell one meeting from another. */
ON_CPU_API void double_sync(int line);
ON_CPU_API double double_from_lane(double value, int mask, int line);
/* The array of this block that belongs to a key. */
ON_CPU_API void *double_shared(const char *key, size_t bytes);

static inline void double_atomic_min(unsigned long long *place, unsigned long long value)
{
    if (value < *place)
        *place = value;
}

/* C has no cospi and sinpi yet. */
#define cospi(x)  cos(3.14159265358979323846 * (x))
#define sinpi(x)  sin(3.14159265358979323846 * (x))
#define cospif(x) ((float)cospi((double)(x)))
#define sinpif(x) ((float)sinpi((double)(x)))

#endif
