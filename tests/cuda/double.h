/* double.h - a test double of a GPU: one library with the functions of driver.def, which the engine
 * opens in place of libcuda, NVRTC, cuBLAS and cuDNN. The kernels are the engine's own, compiled as
 * C.
 *
 * It is stricter than a GPU. Memory of the device is NaN until it is written (of the largest blocks
 * both ends are), its addresses mean nothing to the CPU, and every call that is given some looks
 * whether it exists. Streams do nothing before somebody waits for them, and look again then.
 * Threads of a block go as far as they can before others begin, in one of three orders; threads
 * that miss each other are reported, and so is what is left at the end. A failing call has its
 * reason in double_report(). */
#ifndef TESTS_CUDA_DOUBLE_H
#define TESTS_CUDA_DOUBLE_H

#include <stddef.h>

#include "handlers/cuda/driver.h"
#include "handlers/cuda/kernel_args.h"

#define API __attribute__((visibility("default")))

/* ---- what the engine sees ---- */

#define BS_CUDA(name, arguments)          API CUresult name arguments;
#define BS_NVRTC(name, arguments)         API nvrtcResult name arguments;
#define BS_CUBLAS(name, arguments)        API cublasStatus_t name arguments;
#define BS_CUDNN(name, arguments, result) API result name arguments;
#include "handlers/cuda/driver.def"

/* ---- what tests see ---- */

enum { ASCENDING, DESCENDING, RANDOM };

typedef void kernel(const bs_kernel_args args);

/* The order of blocks, warps and lanes from now on. It begins as the environment's
 * BRAINSTORM_DOUBLE_ORDER ("ascending", "descending", "random"). */
API void double_set_order(int order);
/* How many GPUs are in the machine, at most two, which cuInit finds out. It is one at first. */
API void double_plug(int number);
/* The capability of all GPUs from now on, 90 for 9.0. That is what it is at first. */
API void double_set_capability(int capability);
/* How much memory they have from now on, 4 GiB at first; what they had. */
API size_t double_set_memory(size_t bytes);
/* Whether they have pools of memory. They have, at first. */
API void double_have_pools(int yes);
/* Whether streams beside the default one do their work as soon as they may, from now on. At first
 * they do it as late as they may. */
API void double_hurry(int yes);
/* This function that orders streams does nothing from now on; NULL: all do what they should. */
API void double_forget(const char *name);
/* The n-th call from now on fails with this code; n = 0: none does. What releases something, or
 * waits, does so all the same. cuGetErrorString never fails and is not counted. */
API void double_fail_at(long n, int code);
API long double_calls(void); /* so far */
/* Of memory, pinned memory too, that is not freed after all work is done. */
API long double_live_bytes(void);
API long double_pooled_bytes(void);   /* of freed memory that pools keep */
API long double_live_objects(void);   /* streams, modules, programs, descriptors, handles ... */
API long double_graph_launches(void); /* so far */
API long double_tasks(void);          /* kernels, products, copies, fills so far */
API long double_tasks_done(void);     /* of these */
API const char *double_report(void);  /* why a call failed last */
/* Another function for the kernel bs_<name> of a variant, such as one with a bug, until the process
 * ends or the old one, which is returned, is put back. */
API kernel *double_replace_kernel(const char *name, const char *variant, kernel *by);

/* Engines of cuDNN, as they are proposed. PLAIN is what the engine should choose, then WORKING,
 * which needs a workspace. */
enum {
    DOUBLE_TENSOR_CORE,
    DOUBLE_NONDETERMINISTIC,
    DOUBLE_WINOGRAD,
    DOUBLE_REFUSED,
    DOUBLE_HUNGRY,
    DOUBLE_PLAIN,
    DOUBLE_WORKING
};
API void double_offer_engines(unsigned mask); /* those with a bit (1 << engine), from now on */
API long double_convolutions(int engine);     /* that it was asked for so far */

/* ---- calls (calls.c) ---- */

/* Codes of NVIDIA's libraries. */
enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    CAPTURING = 900,
    CAPTURE_INVALID = 901,
    NVRTC_INVALID_PROGRAM = 4,
    NVRTC_INVALID_OPTION = 5,
    NVRTC_COMPILATION = 6,
    CUBLAS_NOT_INITIALIZED = 1,
    CUBLAS_INVALID_VALUE = 7
};

/* What must have happened before a call: nothing, cuInit, or a context that is the thread's. */
enum { NOTHING, INIT, CONTEXT };

/* The whole body of a function. `does` is an expression with the code of what the function does;
 * one thread at a time is in there. */
#define CALL(need, does)    return call_end(call_begin((need), 0) ? (does) : 0)
#define RELEASE(need, does) return call_end(call_begin((need), 1) ? (does) : 0)
int call_begin(int need, int releases);
int call_end(int code);

/* Keeps the reason and returns the code. */
int report(int code, const char *format, ...) BS_PRINTF(2, 3);
void count_object(int difference); /* 1 for a new one, -1 for one that is gone */

/* ---- contexts (device.c) ---- */

int is_initialised(void);
int capability(void); /* 90 for 9.0 */
int has_context(void);
int current_device(void); /* of the thread's context */

/* ---- streams and events (streams.c) ---- */

/* Work for a stream: copies of it can be kept and run again. */
typedef struct task {
    int (*run)(const struct task *task);
    void *at[BS_KERNEL_ARRAYS]; /* memory of the device that it works on; NULL: less than that */
    union {
        struct {
            CUfunction function;
            unsigned blocks, threads; /* blocks, and threads of a block */
            bs_kernel_args args;      /* with addresses of the CPU */
        } launch;                     /* at: its arrays */
        struct {
            unsigned char *to;
            const unsigned char *from;
            size_t to_pitch, from_pitch, width, height;
            const void *pinned; /* the side that is memory of the host, or NULL */
            uint64_t content;   /* of that side, if it is copied from there, a hash */
        } copy;                 /* at: the sides on the device */
        struct {
            unsigned char value;
            size_t bytes;
        } set; /* at: where */
        struct {
            struct block *block;
        } release;
        struct {
            ptrdiff_t a_row, a_col, b_row, b_col, pitch; /* elements between rows, columns */
            int rows, cols, terms, tf32;
            double alpha, beta;
        } product; /* at: a, b and the result */
        struct {
            int kind, tf32;
            int64_t weights[4], images[4], out[4]; /* dimensions: n, channels, rows, cols */
            int64_t stride[2], padding[2], workspace;
            double alpha, beta;
        } convolution; /* at: weights, images, out, workspace */
    };
} task;

/* Everything that a stream does comes through here, and is done later. */
int submit(CUstream stream, const task *work);
/* Does all that the stream has to do; the code of the first failure since this was asked for. */
int finish(CUstream stream);
void run_everything(void);

/* ---- graphs (graphs.c) ---- */

/* Whether the stream collects work; then it has it. */
int capture_task(CUstream stream, const task *work);
int is_capturing(void);

/* ---- memory (memory.c) ---- */

/* Beyond the 48 bits, or with five levels of pages the part of 57, that processors give to
 * programs; below the byte that arm64 ignores. */
static const CUdeviceptr ON_DEVICE = 1ull << 55;

/* The device whose memory an address is in; -1 if there is none. */
int device_of(CUdeviceptr address);
/* The address for the CPU; NULL after a report if these bytes are not all in memory of the thread's
 * device that nobody has freed. `what` names them. */
void *cpu_address(CUdeviceptr address, size_t bytes, const char *what);
/* Whether an address for the CPU is in memory of the device, perhaps such that is freed when a
 * stream gets there. */
int is_live(const void *at);
int is_pinned(const void *at); /* in pinned memory of the host */

/* ---- copies (copies.c) ---- */

/* Whether the memory that a task works on is still there, and what it copies from the host is as it
 * was; else a report. */
int is_still_there(const task *work);

/* ---- products (products.c) ---- */

/* A factor as tensor cores take it in the mode TF32: 10 bits behind the point. */
double rounded_to_tf32(float x);

/* ---- kernels (modules.c, launch.c, fibers.c) ---- */

enum { ALONE, TOGETHER };

struct CUfunc_st {
    const char *module, *name, *variant; /* variant: float_int, double_long ... */
    int kind;
    kernel *run;
    const char *source; /* of the module */
};

int is_loaded(CUfunction function); /* its module is */

int launch_kernel(CUfunction function, unsigned blocks, unsigned threads,
                  const bs_kernel_args *args, CUstream stream);

/* Runs the threads of block blockIdx.x on a fiber each. */
int run_together(const task *work);
/* A thread of a kernel of kind ALONE met another one: ends the launch. */
void end_alone(const char *how, int line) __attribute__((noreturn));

/* Place k of a walk through n places in the order of double_set_order, for each k in 0 .. n - 1. */
typedef struct walk {
    unsigned n, first, step;
} walk;

walk walk_through(unsigned n);
static inline unsigned place_of(const walk *w, unsigned k)
{
    return (unsigned)((w->first + (unsigned long long)k * w->step) % w->n);
}

#endif
