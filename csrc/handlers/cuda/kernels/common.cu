/* common.cu - stands in front of every module of kernels.
 *
 * A module is a file of this folder, compiled for a dtype (REAL_IS_DOUBLE) and a size of indices
 * (INDEX_IS_LONG) by NVRTC when it is first needed. It is written in what C and C++ have in
 * common, without headers, because the tests compile it as C and play the GPU on the CPU.
 *
 * The functions of kernels begin with bs_, since a tanh is there already. */
#ifndef ON_CPU
#define KERNEL(name) extern "C" __global__ void bs_##name(const bs_kernel_args args)
#define DEVICE       static __device__ __forceinline__
#define SHARED(type, name, n) __shared__ type name[n]
#define SYNC()       __syncthreads()
#define FROM_LANE(value, mask) __shfl_xor_sync(0xffffffffu, (value), (mask))
#define ATOMIC_MIN(place, value) atomicMin((place), (value))
#define HIGH_WORD(a, b) __umulhi((a), (b))
#endif

#ifdef REAL_IS_DOUBLE
typedef double real;
#define FN(name) name
#define REAL(x) x
#define NUMBER(k) args.number[k].d
#define LARGEST 1.7976931348623157e308
#else
typedef float real;
#define FN(name) name##f
#define REAL(x) x##f
#define NUMBER(k) args.number[k].f
#define LARGEST 3.402823466e+38f
#endif

#ifdef INDEX_IS_LONG
typedef long long index;
#else
typedef int index;
#endif

typedef unsigned int word;
typedef unsigned long long long_word;

#define SIZE(k) ((index)args.size[k])
#define ROW(k, row) ((real *)args.array[k].at + (index)(row) * (index)args.array[k].pitch)
#define AT(k, row, col) ROW(k, row)[col]

#define THREAD ((index)blockIdx.x * blockDim.x + threadIdx.x)

/* for (each i below n that is this thread's) */
#define EACH(i, n) for (index i = THREAD; i < (n); i += (index)gridDim.x * blockDim.x)

/* for (each row that is this block's) */
#define EACH_ROW(row, n) for (index row = blockIdx.x; row < (n); row += gridDim.x)

/* What kernels find wrong in data. Of all that is wrong the lowest (ticket, row) stays, which all
 * words have in their upper bits; the lower ones have the bits of the number, one part each. All
 * bits set: nothing is wrong. */
DEVICE void report(const bs_kernel_args *args, index row, real number)
{
    long_word *const words = (long_word *)args->array[BS_KERNEL_REPORT].at;
    const long_word key = (long_word)args->size[BS_KERNEL_TICKET] << 32 | (long_word)row;
    union {
        long_word all;
        real number;
    } bits = {0};
    bits.number = number;
    for (int k = 0; k < BS_REPORT_WORDS; k++)
        ATOMIC_MIN(&words[k], key << BS_REPORT_BITS |
                                  (bits.all >> k * BS_REPORT_BITS & ((1 << BS_REPORT_BITS) - 1)));
}

/* Whether this is an update of parameters that is to be left out, since the data is wrong. */
DEVICE int is_unwanted(const bs_kernel_args *args)
{
    return args->size[BS_KERNEL_UPDATES] &&
           *(const long_word *)args->array[BS_KERNEL_REPORT].at != ~0ull;
}

/* The kernel `name` whose statements run at each place (row, col) of size[0] rows and size[1]
 * columns. */
#define AT_EACH_PLACE(name, ...)                                                                   \
    KERNEL(name)                                                                                   \
    {                                                                                              \
        const index rows = is_unwanted(&args) ? 0 : SIZE(0), cols = SIZE(1);                       \
        EACH (nth, rows * cols) {                                                                  \
            const index row = rows == 1 ? 0 : nth / cols, col = nth - row * cols;                  \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    }

enum { LINEAR, REL, TANH, SIGMOID, EL }; /* a bs_activation */

DEVICE real sigmoid_of(real x)
{
    const real e = FN(exp)(-FN(fabs)(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

DEVICE real activate(int activation, real x)
{
    switch (activation) {
    case TANH: return FN(tanh)(x);
    case SIGMOID: return sigmoid_of(x);
    case REL: return x > 0 ? x : x <= 0 ? 0 : x; /* NaN stays */
    case EL: return x > 0 ? x : FN(expm1)(x);
    default: return x;
    }
}

/* The derivative of an activation, by its value. */
DEVICE real slope(int activation, real y)
{
    switch (activation) {
    case TANH: return 1 - y * y;
    case SIGMOID: return y * (1 - y);
    case REL: return y > 0 ? 1 : y <= 0 ? 0 : y; /* NaN stays */
    case EL: return y > 0 ? 1 : y + 1;
    default: return 1;
    }
}
