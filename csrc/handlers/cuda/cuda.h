/* cuda.h - the handler "cuda", for NVIDIA GPUs: what its files share.
 *
 * Everything runs in order on one stream of the device; only minibatches come on another one
 * (uploads.c). Kernels are compiled for this very GPU when they are first needed (modules.c) and
 * all take the same struct (kernel_args.h); products are those of cuBLAS, convolutions those of
 * cuDNN if it is there. An operation only hands in work, which goes to the stream at once or, in
 * the steps of a training, as a graph (steps.c); what can go wrong with data (ids) is noted on the
 * device and read when a pass ends, or after the next step (reports.c). */
#ifndef BS_HANDLERS_CUDA_CUDA_H
#define BS_HANDLERS_CUDA_CUDA_H

#include <pthread.h>
#include <sys/types.h>

#include "handlers/cuda/driver.h"
#include "handlers/cuda/kernel_args.h"
#include "handlers/cuda/plans.h"
#include "handlers/handler.h"

/* ---- kernels ---- */

typedef enum bs_cuda_kernel {
#define BS_KERNEL(module, kind, name) BS_KERNEL_##name,
#include "handlers/cuda/kernels.def"
    BS_N_KERNELS
} bs_cuda_kernel;

enum { BS_CUDA_MAX_MODULES = 16 };

/* ---- the device ---- */

typedef struct bs_cuda {
    const bs_cuda_driver *driver;
    int64_t references; /* of the bs_device and of each of its blocks */
    bs_dtype dtype;
    CUdevice device;
    CUcontext context;
    CUstream stream;   /* NULL, the default stream: ordered with the work of others there */
    CUstream capture;  /* for the work of graphs, which is not run there */
    CUmemoryPool pool; /* of its memory; NULL where the device has no pools */
    cublasHandle_t blas;
    CUstream blas_stream; /* that cuBLAS works on, if it is ready */
    int blas_is_ready;
    CUdeviceptr workspace;                   /* of cuBLAS */
    int architecture;                        /* that kernels are compiled for: 90 for 9.0 */
    int gets_ptx;                            /* since NVRTC does not know the GPU, but older ones */
    pid_t process;                           /* that opened it; CUDA does not survive a fork */
    bs_cuda_dnn dnn;                         /* cuDNN */
    CUstream dnn_stream;                     /* that cuDNN works on */
    pthread_mutex_t lock;                    /* guards what stands below, blas and dnn */
    bs_cuda_plan *plans;                     /* of all convolutions so far */
    CUmodule module[BS_CUDA_MAX_MODULES][2]; /* [.][1]: with long indices */
    CUfunction function[BS_N_KERNELS][2];
} bs_cuda;

static inline bs_cuda *bs_cuda_of(const bs_handler *h)
{
    return h->device->impl;
}

/* Makes the device's context the one of this thread. Every entry into the handler begins so. */
bs_status bs_cuda_enter(bs_cuda *cuda, bs_error *err);
/* The same before something is released, which is tried in any case. Returns 0 in a process that
 * was forked: there nothing is. */
int bs_cuda_enter_to_release(bs_cuda *cuda);

/* BS_OK if `result` is 0, else the sticky error, naming the function of the driver. */
bs_status bs_cuda_check(const bs_cuda *cuda, int result, const char *function, bs_error *err);

/* cuda->driver->function(...), checked. */
#define BS_CUDA_CALL(cuda, err, function, ...)                                                     \
    bs_cuda_check((cuda), (cuda)->driver->function(__VA_ARGS__), #function, (err))

void bs_cuda_release(bs_cuda *cuda); /* closes it with the last reference */

/* Decides what kernels are compiled for. */
bs_status bs_cuda_choose_architecture(bs_cuda *cuda, bs_error *err);
/* The function of a kernel, compiled and loaded when it is first asked for (modules.c). */
bs_status bs_cuda_function(bs_cuda *cuda, bs_cuda_kernel kernel, int long_indices, CUfunction *out,
                           bs_error *err);
void bs_cuda_unload_modules(bs_cuda *cuda);

/* ---- memory (memory.c) ---- */

bs_status bs_cuda_open_memory(bs_cuda *cuda, int number, bs_error *err); /* of the device */
void bs_cuda_close_memory(bs_cuda *cuda);

/* Memory of the device (bytes > 0) for what comes on the stream from now on, with any content. What
 * comes on the stream after it is given back may get it again; others must be done with it. */
bs_status bs_cuda_take(bs_cuda *cuda, CUstream stream, size_t bytes, CUdeviceptr *out,
                       bs_error *err);
void bs_cuda_give_back(bs_cuda *cuda, CUstream stream, CUdeviceptr at);

/* See bs_device. */
bs_block *bs_cuda_allocate(bs_device *device, size_t bytes, bs_error *err);
bs_status bs_cuda_write(bs_device *device, const bs_array *array, const void *host, bs_error *err);
bs_status bs_cuda_read(bs_device *device, const bs_array *array, void *host, bs_error *err);

/* ---- work (work.c) ---- */

/* op(a) op(b), matrices (m, k) and (k, n), into out (m, n). */
typedef struct bs_cuda_product {
    int64_t m, n, k, a_pitch, b_pitch, out_pitch;
    const void *a, *b;
    void *out;
    int transa, transb, add;
} bs_cuda_product;

typedef enum bs_cuda_work_kind {
    BS_CUDA_KERNEL,
    BS_CUDA_PRODUCT,
    BS_CUDA_CONVOLUTION
} bs_cuda_work_kind;

typedef struct bs_cuda_work {
    bs_cuda_work_kind kind;
    unsigned blocks, threads; /* of a kernel, as the function */
    CUfunction function;
    union {
        bs_kernel_args args;
        bs_cuda_product product;
        bs_cuda_execution convolution;
    };
} bs_cuda_work;

/* Puts work that a library does, a product or a convolution, on a stream; needs the lock. */
bs_status bs_cuda_put(bs_cuda *cuda, CUstream stream, const bs_cuda_work *work, bs_error *err);
/* Puts work on the stream now. */
void bs_cuda_run(bs_cuda *cuda, const bs_cuda_work *work, bs_error *err);

/* ---- convolutions (convolution.c) ---- */

/* Does a convolution (see bs_cuda_convolution; the arrays have four dimensions and are packed).
 * Returns 0 if it has not, since there is no cuDNN, or no plan for this shape. */
int bs_cuda_convolve(bs_handler *h, int kind, const bs_array *images, const bs_array *weights,
                     const bs_array *out, const bs_window *w);
bs_status bs_cuda_put_convolution(bs_cuda *cuda, CUstream stream, const bs_cuda_execution *e,
                                  bs_error *err);
void bs_cuda_close_plans(bs_cuda *cuda);

/* ---- what a handle has (handle.c, steps.c, reports.c, uploads.c) ---- */

typedef struct bs_cuda_handle {      /* bs_handler.impl */
    struct bs_cuda_steps *steps;     /* NULL before the first step */
    struct bs_cuda_reports *reports; /* NULL before the first report */
    struct bs_cuda_uploads *uploads; /* NULL before the first upload */
} bs_cuda_handle;

/* NULL and the sticky error without memory. */
bs_cuda_handle *bs_cuda_handle_of(bs_handler *h);
void bs_cuda_close_handle(bs_handler *h);
void bs_cuda_close_steps(bs_cuda *cuda, struct bs_cuda_steps *steps);
void bs_cuda_close_reports(bs_cuda *cuda, struct bs_cuda_reports *reports);
void bs_cuda_close_uploads(bs_cuda *cuda, struct bs_cuda_uploads *uploads);

/* Puts work on the stream, or into the step that is going on. */
void bs_cuda_submit(bs_handler *h, const bs_cuda_work *work);

void bs_cuda_begin_step(bs_handler *h);
void bs_cuda_end_step(bs_handler *h);
void bs_cuda_flush(bs_handler *h);
int bs_cuda_is_in_step(const bs_handler *h);

/* ---- uploads (uploads.c) ---- */

/* See bs_device. */
void *bs_cuda_stage(bs_handler *h, size_t bytes);
void bs_cuda_upload(bs_handler *h, const bs_array *to);

/* ---- launching (launch.c) ---- */

/* A launch being put together. Arrays are given as matrices; those that the engine's views cannot
 * express so are packed before (bs_cuda_packed). */
typedef struct bs_launch {
    bs_kernel_args args;
    int64_t extent; /* the largest index that occurs */
} bs_launch;

/* size[0] and size[1] are rows and cols. */
bs_launch bs_launch_over(int64_t rows, int64_t cols);
void bs_launch_array(bs_launch *l, int k, const bs_array *matrix);
void bs_launch_number(const bs_handler *h, bs_launch *l, int k, double value);

/* A thread for each place; nothing happens without places. */
void bs_launch_places(bs_handler *h, bs_cuda_kernel kernel, const bs_launch *l);
/* A thread for each of n. */
void bs_launch_threads(bs_handler *h, bs_cuda_kernel kernel, const bs_launch *l, int64_t n);
/* A block of `threads` threads for each of n. */
void bs_launch_blocks(bs_handler *h, bs_cuda_kernel kernel, const bs_launch *l, int64_t n,
                      int threads);

/* ---- views (views.c) ---- */

/* The matrix (product of the first `lead` dimensions, rest) of an array; where a view is none, of a
 * packed copy in scratch. `copy_back` is for what a kernel has written. */
typedef struct bs_cuda_view {
    bs_array matrix;
    const bs_array *given;
    bs_array copy; /* data NULL: none was needed */
} bs_cuda_view;

bs_cuda_view bs_cuda_matrix(bs_handler *h, const bs_array *a, int lead);
void bs_cuda_copy_back(bs_handler *h, const bs_cuda_view *view);

/* One place after the other: arrays of one shape, of which those with a bit in `outputs` (1 << k)
 * are written. The kernel has array k as its array k, and the numbers. */
void bs_cuda_elementwise(bs_handler *h, bs_cuda_kernel kernel, unsigned outputs, int n_arrays,
                         const bs_array *const arrays[], int n_numbers, const double numbers[]);

/* ---- reports (reports.c) ---- */

/* What a kernel checks about the data of a call. */
typedef enum bs_cuda_claim {
    BS_CUDA_IDS,    /* the ids of all rows are below n */
    BS_CUDA_ARGMAX, /* those of all images are in their windows */
    BS_CUDA_FINITE
} bs_cuda_claim;

/* Lets a launch report wrong rows under a ticket of its own. `text` is the operation, or of
 * BS_CUDA_FINITE the whole message, and lives on. Returns 0 after a failure. */
int bs_cuda_may_report(bs_handler *h, bs_launch *l, bs_cuda_claim claim, const char *text,
                       int64_t n);
/* Where kernels of this handle report, on the device; NULL before the first ticket. */
void *bs_cuda_report_words(const bs_handler *h);
/* See bs_device. */
void bs_cuda_expect_finite(bs_handler *h, const bs_array *a, const char *what);
/* Lets the reports of a step come to the host, where the next call of this function or of finish
 * looks at them. Before that it waits for those of the step before. */
void bs_cuda_end_reports(bs_handler *h);
/* Waits for all reports; the first wrong row becomes the sticky error. */
void bs_cuda_finish(bs_handler *h);

/* ---- what several files of operations need ---- */

/* out = (or +=) op(a) op(b), matrices. */
void bs_cuda_multiply(bs_handler *h, const bs_array *a, const bs_array *b, const bs_array *out,
                      int transa, int transb, int add);
/* out (cols,) = (or +=) the sums over the rows of x, or of x*y if y is not NULL. */
void bs_cuda_sum_columns(bs_handler *h, const bs_array *x, const bs_array *y, const bs_array *out,
                         int add);
/* y = act(y + bias); bias may be NULL. */
void bs_cuda_add_bias_activate(bs_handler *h, const bs_array *y, const bs_array *bias,
                               int activation);

/* ---- operations: each file fills its rows of the table ---- */

typedef void bs_cuda_fill(bs_ops *ops);
bs_cuda_fill bs_cuda_fill_elementwise, bs_cuda_fill_matrix, bs_cuda_fill_sums, bs_cuda_fill_ids,
    bs_cuda_fill_random, bs_cuda_fill_images, bs_cuda_fill_recurrent, bs_cuda_fill_steppers;

#endif
