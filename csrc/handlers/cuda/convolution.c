/* convolution.c - convolutions by cuDNN, where it is installed and has a plan. Plans are made when
 * a shape comes for the first time, and kept. */
#include <string.h>

#include "handlers/cuda/cuda.h"

enum { WORKSPACE_ALIGNMENT = 256 }; /* what memory of the driver has */

/* ---- plans ---- */

/* Whether cuDNN is there and starts; one for another driver does not. Needs the lock. */
static int open_cudnn(bs_cuda *cuda)
{
    bs_cuda_dnn *dnn = &cuda->dnn;
    if (!dnn->handle && dnn->driver->cudnnCreate(&dnn->handle) != 0)
        dnn->handle = NULL;
    return dnn->handle != NULL;
}

/* What is known about such a convolution: perhaps that there is no plan. NULL without memory. */
static const bs_cuda_plan *find_plan(bs_cuda *cuda, const bs_cuda_convolution *what)
{
    pthread_mutex_lock(&cuda->lock);
    bs_cuda_plan *plan = cuda->plans;
    while (plan && memcmp(&plan->what, what, sizeof *what) != 0)
        plan = plan->next;
    if (!plan && (plan = bs_alloc(sizeof *plan))) {
        plan->what = *what;
        if (open_cudnn(cuda))
            bs_cuda_plan_make(&cuda->dnn, plan);
        plan->next = cuda->plans;
        cuda->plans = plan;
    }
    pthread_mutex_unlock(&cuda->lock);
    return plan;
}

void bs_cuda_close_plans(bs_cuda *cuda)
{
    while (cuda->plans) {
        bs_cuda_plan *plan = cuda->plans;
        cuda->plans = plan->next;
        bs_cuda_plan_close(&cuda->dnn, plan);
        bs_free(plan);
    }
    if (cuda->dnn.handle)
        cuda->driver->cudnnDestroy(cuda->dnn.handle);
}

/* ---- work ---- */

static int64_t common_alignment(const bs_array *images, const bs_array *weights,
                                const bs_array *out)
{
    const uintptr_t bits = (uintptr_t)images->data | (uintptr_t)weights->data |
                           (uintptr_t)out->data;
    return bits % 16 == 0 ? 16 : sizeof(float);
}

static void *take_workspace(bs_handler *h, int64_t bytes)
{
    if (bytes == 0)
        return NULL;
    const uintptr_t at = (uintptr_t)bs_scratch_take(h, (size_t)bytes + WORKSPACE_ALIGNMENT);
    return (void *)((at + WORKSPACE_ALIGNMENT - 1) / WORKSPACE_ALIGNMENT * WORKSPACE_ALIGNMENT);
}

int bs_cuda_convolve(bs_handler *h, int kind, const bs_array *images, const bs_array *weights,
                     const bs_array *out, const bs_window *w)
{
    bs_cuda *cuda = bs_cuda_of(h);
    bs_cuda_convolution what = {.kind = kind,
                                .stride = {w->stride_rows, w->stride_cols},
                                .padding = w->padding,
                                .alignment = common_alignment(images, weights, out)};
    if (!cuda->driver->has_cudnn || cuda->dtype == BS_F64 ||
        bs_cuda_enter(cuda, &h->error) != BS_OK)
        return 0;
    memcpy(what.images, images->dim, sizeof what.images);
    memcpy(what.weights, weights->dim, sizeof what.weights);
    memcpy(what.out, out->dim, sizeof what.out);
    const bs_cuda_plan *plan = find_plan(cuda, &what);
    if (!plan)
        bs_fail(&h->error, BS_NO_MEMORY, "no memory for a plan of a convolution");
    if (!plan || !plan->execution)
        return 0;
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_work work = {.kind = BS_CUDA_CONVOLUTION,
                               .convolution = {.plan = plan,
                                               .images = images->data,
                                               .weights = weights->data,
                                               .out = out->data,
                                               .workspace = take_workspace(h, plan->workspace)}};
    bs_cuda_submit(h, &work);
    bs_scratch_release(h, mark);
    return 1;
}

bs_status bs_cuda_put_convolution(bs_cuda *cuda, CUstream stream, const bs_cuda_execution *e,
                                  bs_error *err)
{
    if (cuda->dnn_stream != stream)
        BS_TRY(BS_CUDA_CALL(cuda, err, cudnnSetStream, cuda->dnn.handle, stream));
    cuda->dnn_stream = stream;
    return bs_cuda_check(cuda, bs_cuda_plan_execute(&cuda->dnn, e), "cudnnBackendExecute", err);
}
