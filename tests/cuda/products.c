/* products.c - cuBLAS, as far as we call it: matrices whose columns follow each other. */
#include "double.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct cublasContext {
    CUstream stream;
    cublasMath_t mode;
};

double rounded_to_tf32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + (1u << 12)) & ~((1u << 13) - 1);
    memcpy(&x, &bits, sizeof bits);
    return x;
}

#define DEFINE_PRODUCT(real)                                                                       \
    static int run_product_##real(const task *work)                                                \
    {                                                                                              \
        const real *a = work->at[0], *b = work->at[1];                                             \
        real *c = work->at[2];                                                                     \
        for (int col = 0; col < work->product.cols; col++)                                         \
            for (int row = 0; row < work->product.rows; row++) {                                   \
                real *out = &c[row + col * work->product.pitch];                                   \
                double sum = 0;                                                                    \
                for (int k = 0; k < work->product.terms; k++) {                                    \
                    const real x = a[row * work->product.a_row + k * work->product.a_col];         \
                    const real y = b[k * work->product.b_row + col * work->product.b_col];         \
                    sum += work->product.tf32                                                      \
                               ? rounded_to_tf32((float)x) * rounded_to_tf32((float)y)             \
                               : (double)x * y;                                                    \
                }                                                                                  \
                sum *= work->product.alpha;                                                        \
                if (work->product.beta != 0)                                                       \
                    sum += work->product.beta * *out;                                              \
                *out = (real)sum;                                                                  \
            }                                                                                      \
        return 0;                                                                                  \
    }
DEFINE_PRODUCT(float)
DEFINE_PRODUCT(double)

/* A factor as it lies there. */
typedef struct factor {
    const void *at;
    cublasOperation_t op;
    int rows, cols, pitch; /* before the operation */
} factor;

static factor factor_of(const void *at, cublasOperation_t op, int rows, int cols, int pitch)
{
    const factor plain = {at, op, rows, cols, pitch}, turned = {at, op, cols, rows, pitch};
    return op == BS_CUBLAS_NO_TRANSPOSE ? plain : turned;
}

static int is_valid(const factor *f)
{
    return (f->op == BS_CUBLAS_NO_TRANSPOSE || f->op == BS_CUBLAS_TRANSPOSE) && f->rows >= 0 &&
           f->cols >= 0 && f->pitch >= (f->rows > 1 ? f->rows : 1);
}

/* NULL after a report, or if there are no elements. */
static void *address_of(const factor *f, size_t size)
{
    const size_t elements = f->rows ? (size_t)(f->cols - 1) * f->pitch + f->rows : 0;
    return f->rows && f->cols ? cpu_address((CUdeviceptr)(uintptr_t)f->at, elements * size,
                                            "a matrix of a product")
                              : NULL;
}

static int multiply(cublasHandle_t handle, factor a, factor b, factor c, task *work, size_t size)
{
    if (!handle)
        return report(CUBLAS_NOT_INITIALIZED, "no handle of cuBLAS");
    if (!is_valid(&a) || !is_valid(&b) || !is_valid(&c))
        return report(CUBLAS_INVALID_VALUE,
                      "a product: sizes (%d, %d) and (%d, %d), pitches %d, %d "
                      "and %d",
                      a.rows, a.cols, b.rows, b.cols, a.pitch, b.pitch, c.pitch);
    if (c.rows == 0 || c.cols == 0)
        return 0;
    work->at[0] = address_of(&a, size);
    work->at[1] = address_of(&b, size);
    work->at[2] = address_of(&c, size);
    if (!work->at[2] || (work->product.terms > 0 && (!work->at[0] || !work->at[1])))
        return CUBLAS_INVALID_VALUE;
    work->product.a_row = a.op ? a.pitch : 1;
    work->product.a_col = a.op ? 1 : a.pitch;
    work->product.b_row = b.op ? b.pitch : 1;
    work->product.b_col = b.op ? 1 : b.pitch;
    work->product.pitch = c.pitch;
    work->product.tf32 = size == sizeof(float) && handle->mode == BS_CUBLAS_TF32;
    return submit(handle->stream, work);
}

#define DEFINE_GEMM(name, real)                                                                    \
    cublasStatus_t name(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, \
                        int m, int n, int k, const real *alpha, const real *a, int lda,            \
                        const real *b, int ldb, const real *beta, real *c, int ldc)                \
    {                                                                                              \
        const factor left = factor_of(a, transa, m, k, lda);                                       \
        const factor right = factor_of(b, transb, k, n, ldb);                                      \
        const factor out = factor_of(c, BS_CUBLAS_NO_TRANSPOSE, m, n, ldc);                        \
        task work = {                                                                              \
            run_product_##real,                                                                    \
            .product = {.rows = m, .cols = n, .terms = k, .alpha = *alpha, .beta = *beta}};        \
        CALL(CONTEXT, multiply(handle, left, right, out, &work, sizeof(real)));                    \
    }
DEFINE_GEMM(cublasSgemm_v2, float)
DEFINE_GEMM(cublasDgemm_v2, double)

/* ---- handles ---- */

static int create(cublasHandle_t *out)
{
    *out = calloc(1, sizeof **out);
    count_object(1);
    return 0;
}

static int destroy(cublasHandle_t handle)
{
    free(handle);
    count_object(-1);
    return 0;
}

static int set_stream(cublasHandle_t handle, CUstream stream)
{
    handle->stream = stream;
    return 0;
}

static int set_mode(cublasHandle_t handle, cublasMath_t mode)
{
    handle->mode = mode;
    return 0;
}

static int check_workspace(const void *at, size_t bytes)
{
    const CUdeviceptr address = (CUdeviceptr)(uintptr_t)at;
    if (bytes > 0 && (address % 256 != 0 || !cpu_address(address, bytes, "a workspace")))
        return report(CUBLAS_INVALID_VALUE, "a workspace of %zu bytes at %p", bytes, at);
    return 0;
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *out)
{
    CALL(CONTEXT, create(out));
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    RELEASE(CONTEXT, destroy(handle));
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, CUstream stream)
{
    CALL(NOTHING, set_stream(handle, stream));
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    CALL(NOTHING, set_mode(handle, mode));
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *at, size_t bytes)
{
    (void)handle;
    CALL(CONTEXT, check_workspace(at, bytes));
}
