/* memory.c - memory of the device, and copies between it and the host.
 *
 * It comes from a pool of our own, which keeps what is given back: networks whose minibatches
 * change their size do not wait for the driver. All is in the order of a stream: what is taken can
 * be used by the work that comes after on this stream, and what is given back by those who take it
 * then, while the work of before is still going on. Devices without pools take each piece from the
 * driver, which waits. */
#include "handlers/cuda/cuda.h"

/* ---- the pool ---- */

bs_status bs_cuda_open_memory(bs_cuda *cuda, int number, bs_error *err)
{
    const CUmemPoolProps props = {.allocType = BS_CU_PINNED,
                                  .location = {.type = BS_CU_ON_DEVICE, .id = number}};
    uint64_t keep = UINT64_MAX;
    int has_pools;
    BS_TRY(BS_CUDA_CALL(cuda, err, cuDeviceGetAttribute, &has_pools, BS_CU_MEMORY_POOLS,
                        cuda->device));
    if (!has_pools)
        return BS_OK;
    BS_TRY(BS_CUDA_CALL(cuda, err, cuMemPoolCreate, &cuda->pool, &props));
    return BS_CUDA_CALL(cuda, err, cuMemPoolSetAttribute, cuda->pool, BS_CU_POOL_THRESHOLD, &keep);
}

void bs_cuda_close_memory(bs_cuda *cuda)
{
    if (cuda->pool)
        cuda->driver->cuMemPoolDestroy(cuda->pool);
}

static bs_status try_to_take(bs_cuda *cuda, CUstream stream, size_t bytes, CUdeviceptr *out,
                             bs_error *err)
{
    if (cuda->pool)
        return BS_CUDA_CALL(cuda, err, cuMemAllocFromPoolAsync, out, bytes, cuda->pool, stream);
    return BS_CUDA_CALL(cuda, err, cuMemAlloc_v2, out, bytes);
}

/* Lets the pool have all that is on its way back, and the device what the pool keeps. */
static bs_status gather(bs_cuda *cuda, bs_error *err)
{
    BS_TRY(bs_cuda_check(cuda, cuda->driver->cuCtxSynchronize(), "cuCtxSynchronize", err));
    return BS_CUDA_CALL(cuda, err, cuMemPoolTrimTo, cuda->pool, 0);
}

bs_status bs_cuda_take(bs_cuda *cuda, CUstream stream, size_t bytes, CUdeviceptr *out,
                       bs_error *err)
{
    bs_error why = {0};
    if (try_to_take(cuda, stream, bytes, out, &why) == BS_OK)
        return BS_OK;
    if (why.code != BS_NO_MEMORY || !cuda->pool)
        return bs_fail(err, why.code, "%s", why.text);
    BS_TRY(gather(cuda, err));
    return try_to_take(cuda, stream, bytes, out, err);
}

void bs_cuda_give_back(bs_cuda *cuda, CUstream stream, CUdeviceptr at)
{
    if (cuda->pool)
        cuda->driver->cuMemFreeAsync(at, stream);
    else
        cuda->driver->cuMemFree_v2(at);
}

/* ---- blocks ---- */

typedef struct cuda_block {
    bs_block block;
    bs_cuda *cuda; /* a reference */
} cuda_block;

static void free_block(bs_block *block)
{
    bs_cuda *cuda = ((cuda_block *)block)->cuda;
    if (bs_cuda_enter_to_release(cuda)) {
        if (block->is_shown)
            cuda->driver->cuCtxSynchronize();
        bs_cuda_give_back(cuda, cuda->stream, (CUdeviceptr)block->data);
    }
    bs_free(block);
    bs_cuda_release(cuda);
}

bs_block *bs_cuda_allocate(bs_device *device, size_t bytes, bs_error *err)
{
    bs_cuda *cuda = device->impl;
    cuda_block *out = bs_alloc(sizeof *out);
    CUdeviceptr data = 0;
    bs_status status = BS_OK;
    if (!out)
        BS_TRY_DONE(bs_fail(err, BS_NO_MEMORY, "out of memory"));
    BS_TRY_DONE(bs_cuda_enter(cuda, err));
    BS_TRY_DONE(bs_cuda_take(cuda, cuda->stream, bytes ? bytes : 1, &data, err));
    BS_TRY_DONE(BS_CUDA_CALL(cuda, err, cuMemsetD8Async, data, 0, bytes, cuda->stream));
    __atomic_add_fetch(&cuda->references, 1, __ATOMIC_RELAXED);
    out->cuda = cuda;
    out->block = (bs_block){
        .data = (void *)data, .bytes = bytes, .references = 1, .release = free_block};
    return &out->block;
done:
    if (data)
        bs_cuda_give_back(cuda, cuda->stream, data);
    bs_free(out);
    return NULL;
}

/* ---- copies ---- */

enum { FROM_HOST, TO_HOST };

static bs_status copy_packed(bs_cuda *cuda, const bs_array *array, void *host, size_t bytes,
                             int way, bs_error *err)
{
    const CUdeviceptr device = (CUdeviceptr)array->data;
    if (way == FROM_HOST)
        return BS_CUDA_CALL(cuda, err, cuMemcpyHtoDAsync_v2, device, host, bytes, cuda->stream);
    return BS_CUDA_CALL(cuda, err, cuMemcpyDtoHAsync_v2, host, device, bytes, cuda->stream);
}

static bs_status copy_rows(bs_cuda *cuda, const bs_array *array, void *host, size_t bytes, int way,
                           bs_error *err)
{
    const size_t rows = (size_t)bs_rows(array), width = bytes / rows,
                 pitch = (size_t)array->pitch * bs_dtype_size(array->dtype);
    CUDA_MEMCPY2D copy = {.WidthInBytes = width, .Height = rows};
    if (way == FROM_HOST) {
        copy.srcMemoryType = BS_CU_HOST, copy.srcHost = host, copy.srcPitch = width;
        copy.dstMemoryType = BS_CU_DEVICE, copy.dstDevice = (CUdeviceptr)array->data;
        copy.dstPitch = pitch;
    } else {
        copy.srcMemoryType = BS_CU_DEVICE, copy.srcDevice = (CUdeviceptr)array->data;
        copy.srcPitch = pitch;
        copy.dstMemoryType = BS_CU_HOST, copy.dstHost = host, copy.dstPitch = width;
    }
    return BS_CUDA_CALL(cuda, err, cuMemcpy2DAsync_v2, &copy, cuda->stream);
}

/* Copies between an array and packed memory of the host, and waits for it. */
static bs_status transfer(bs_cuda *cuda, const bs_array *array, void *host, int way, bs_error *err)
{
    const size_t bytes = (size_t)bs_count(array) * bs_dtype_size(array->dtype);
    if (bytes == 0)
        return BS_OK;
    BS_TRY(bs_cuda_enter(cuda, err));
    if (bs_is_packed(array)) /* copies of rows have bounds for their length */
        BS_TRY(copy_packed(cuda, array, host, bytes, way, err));
    else
        BS_TRY(copy_rows(cuda, array, host, bytes, way, err));
    return BS_CUDA_CALL(cuda, err, cuStreamSynchronize, cuda->stream);
}

bs_status bs_cuda_write(bs_device *device, const bs_array *array, const void *host, bs_error *err)
{
    return transfer(device->impl, array, (void *)(uintptr_t)host, FROM_HOST, err);
}

bs_status bs_cuda_read(bs_device *device, const bs_array *array, void *host, bs_error *err)
{
    return transfer(device->impl, array, host, TO_HOST, err);
}
