/* plans.h - cuDNN's plans for convolutions, through its graph interface. Images and outputs are
 * (N, H, W, C), weights (filters, rows, cols, C), all packed float32, as the engine has them. */
#ifndef BS_HANDLERS_CUDA_PLANS_H
#define BS_HANDLERS_CUDA_PLANS_H

#include "handlers/cuda/driver.h"

/* What cuDNN makes plans with. */
typedef struct bs_cuda_dnn {
    const bs_cuda_driver *driver;
    cudnnHandle_t handle;            /* NULL before the first convolution */
    cudnnBackendDescriptor_t device; /* NULL: that of the handle; a test describes another one */
    int tf32;                        /* products may round float32 to TensorFloat-32 */
} bs_cuda_dnn;

/* BS_CUDNN_FORWARD sets out, BS_CUDNN_BACKWARD_FILTER sets weights, BS_CUDNN_BACKWARD_DATA adds to
 * images. Numbers only, so that equal ones have equal bytes. */
typedef struct bs_cuda_convolution {
    int64_t kind, images[4], weights[4], out[4], stride[2], padding;
    int64_t alignment; /* of the addresses of all three, in bytes */
} bs_cuda_convolution;

enum { BS_CUDA_PLAN_PARTS = 8 };

typedef struct bs_cuda_plan {
    bs_cuda_convolution what;
    cudnnBackendDescriptor_t part[BS_CUDA_PLAN_PARTS]; /* owned */
    int n_parts;
    cudnnBackendDescriptor_t execution; /* one of the parts; NULL: there is no plan */
    int64_t workspace;                  /* bytes */
    struct bs_cuda_plan *next;
} bs_cuda_plan;

/* A convolution that goes to a stream. */
typedef struct bs_cuda_execution {
    const bs_cuda_plan *plan;
    void *images, *weights, *out, *workspace;
} bs_cuda_execution;

/* Completes a plan of which only `what` is given. Only those count whose sums are of float32, or of
 * TF32 if that is allowed, and the same in every run. */
void bs_cuda_plan_make(const bs_cuda_dnn *dnn, bs_cuda_plan *plan);
void bs_cuda_plan_close(const bs_cuda_dnn *dnn, bs_cuda_plan *plan);
/* Puts it on the stream of the handle. */
cudnnStatus_t bs_cuda_plan_execute(const bs_cuda_dnn *dnn, const bs_cuda_execution *execution);

#endif
