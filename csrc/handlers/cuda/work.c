/* work.c - kernels and the work of libraries on the stream. */
#include <limits.h>

#include "handlers/cuda/cuda.h"

enum { WORKSPACE_BYTES = 32 << 20 }; /* what cuBLAS asks for on the largest devices */

/* cuBLAS forgets its memory when it gets a stream. With its own, sums are the same in every run. */
static bs_status choose_stream(bs_cuda *cuda, CUstream stream, bs_error *err)
{
    if (cuda->blas_is_ready && cuda->blas_stream == stream)
        return BS_OK;
    cuda->blas_is_ready = 0;
    if (!cuda->workspace)
        BS_TRY(bs_cuda_take(cuda, cuda->stream, WORKSPACE_BYTES, &cuda->workspace, err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cublasSetStream_v2, cuda->blas, stream));
    BS_TRY(BS_CUDA_CALL(cuda, err, cublasSetWorkspace_v2, cuda->blas, (void *)cuda->workspace,
                        WORKSPACE_BYTES));
    cuda->blas_stream = stream;
    cuda->blas_is_ready = 1;
    return BS_OK;
}

static bs_status check_sizes(const bs_cuda_product *p, bs_error *err)
{
    const int64_t sizes[] = {p->m, p->n, p->k, p->a_pitch, p->b_pitch, p->out_pitch};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] > INT_MAX)
            return bs_fail(err, BS_VALUE,
                           "a product of (%lld, %lld) and (%lld, %lld) is too large for cuBLAS",
                           (long long)p->m, (long long)p->k, (long long)p->k, (long long)p->n);
    return BS_OK;
}

/* cuBLAS has columns where we have rows: out' = op(b)' op(a)'. */
static bs_status put_product(bs_cuda *cuda, CUstream stream, const bs_cuda_product *p,
                             bs_error *err)
{
    const int ta = p->transa ? BS_CUBLAS_TRANSPOSE : BS_CUBLAS_NO_TRANSPOSE,
              tb = p->transb ? BS_CUBLAS_TRANSPOSE : BS_CUBLAS_NO_TRANSPOSE;
    const double one = 1, beta = p->add;
    const float one_f = 1, beta_f = (float)p->add;
    BS_TRY(check_sizes(p, err));
    BS_TRY(choose_stream(cuda, stream, err));
    if (cuda->dtype == BS_F64)
        return BS_CUDA_CALL(cuda, err, cublasDgemm_v2, cuda->blas, tb, ta, (int)p->n, (int)p->m,
                            (int)p->k, &one, p->b, (int)p->b_pitch, p->a, (int)p->a_pitch, &beta,
                            p->out, (int)p->out_pitch);
    return BS_CUDA_CALL(cuda, err, cublasSgemm_v2, cuda->blas, tb, ta, (int)p->n, (int)p->m,
                        (int)p->k, &one_f, p->b, (int)p->b_pitch, p->a, (int)p->a_pitch, &beta_f,
                        p->out, (int)p->out_pitch);
}

bs_status bs_cuda_put(bs_cuda *cuda, CUstream stream, const bs_cuda_work *work, bs_error *err)
{
    return work->kind == BS_CUDA_PRODUCT
               ? put_product(cuda, stream, &work->product, err)
               : bs_cuda_put_convolution(cuda, stream, &work->convolution, err);
}

void bs_cuda_run(bs_cuda *cuda, const bs_cuda_work *work, bs_error *err)
{
    bs_kernel_args args;
    if (bs_cuda_enter(cuda, err) != BS_OK)
        return;
    if (work->kind != BS_CUDA_KERNEL) {
        pthread_mutex_lock(&cuda->lock);
        bs_cuda_put(cuda, cuda->stream, work, err);
        pthread_mutex_unlock(&cuda->lock);
        return;
    }
    args = work->args;
    BS_CUDA_CALL(cuda, err, cuLaunchKernel, work->function, work->blocks, 1, 1, work->threads, 1, 1,
                 0, cuda->stream, (void *[]){&args}, NULL);
}
