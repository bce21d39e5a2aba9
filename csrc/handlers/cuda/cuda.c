/* cuda.c - opening and closing a GPU. */
#include "handlers/cuda/cuda.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bs_status bs_cuda_check(const bs_cuda *cuda, int result, const char *function, bs_error *err)
{
    const char *text = NULL;
    if (result == 0)
        return BS_OK;
    if (strncmp(function, "cudnn", 5) == 0)
        text = cuda->driver->cudnnGetErrorString(result);
    else if (strncmp(function, "cu", 2) == 0 && strncmp(function, "cublas", 6) != 0)
        cuda->driver->cuGetErrorString(result, &text);
    return bs_fail(err, result == BS_CU_OUT_OF_MEMORY && text ? BS_NO_MEMORY : BS_DEVICE,
                   "%s failed: %s (%d)", function, text ? text : "error", result);
}

bs_status bs_cuda_enter(bs_cuda *cuda, bs_error *err)
{
    if (cuda->process != getpid())
        return bs_fail(err, BS_DEVICE,
                       "a GPU cannot be used in a process that was forked after it was opened");
    return BS_CUDA_CALL(cuda, err, cuCtxSetCurrent, cuda->context);
}

int bs_cuda_enter_to_release(bs_cuda *cuda)
{
    if (cuda->process != getpid())
        return 0;
    cuda->driver->cuCtxSetCurrent(cuda->context);
    return 1;
}

/* ---- opening ---- */

static bs_status open_blas(bs_cuda *cuda, int tf32, bs_error *err)
{
    BS_TRY(BS_CUDA_CALL(cuda, err, cublasCreate_v2, &cuda->blas));
    return BS_CUDA_CALL(cuda, err, cublasSetMathMode, cuda->blas,
                        tf32 ? BS_CUBLAS_TF32 : BS_CUBLAS_PEDANTIC);
}

static bs_status open_device(bs_cuda *cuda, const bs_device_options *options, bs_error *err)
{
    int n;
    BS_TRY(bs_cuda_driver_init(cuda->driver, err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuDeviceGetCount, &n));
    if (options->number < 0 || options->number >= n)
        return bs_fail(err, BS_VALUE, "device is %d, but this machine has %d GPU%s",
                       options->number, n, n == 1 ? "" : "s");
    BS_TRY(BS_CUDA_CALL(cuda, err, cuDeviceGet, &cuda->device, options->number));
    BS_TRY(bs_cuda_choose_architecture(cuda, err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuDevicePrimaryCtxRetain, &cuda->context, cuda->device));
    BS_TRY(bs_cuda_enter(cuda, err));
    BS_TRY(bs_cuda_open_memory(cuda, options->number, err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuStreamCreate, &cuda->capture, BS_CU_NON_BLOCKING));
    cuda->dnn = (bs_cuda_dnn){.driver = cuda->driver, .tf32 = options->tf32};
    return open_blas(cuda, options->tf32, err);
}

void bs_cuda_release(bs_cuda *cuda)
{
    if (!cuda || __atomic_sub_fetch(&cuda->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (cuda->context && bs_cuda_enter_to_release(cuda)) {
        cuda->driver->cuStreamSynchronize(cuda->stream);
        bs_cuda_unload_modules(cuda);
        bs_cuda_close_plans(cuda);
        if (cuda->blas)
            cuda->driver->cublasDestroy_v2(cuda->blas);
        if (cuda->workspace)
            bs_cuda_give_back(cuda, cuda->stream, cuda->workspace);
        if (cuda->capture)
            cuda->driver->cuStreamDestroy_v2(cuda->capture);
        bs_cuda_close_memory(cuda);
        cuda->driver->cuDevicePrimaryCtxRelease_v2(cuda->device);
    }
    pthread_mutex_destroy(&cuda->lock);
    bs_free(cuda);
}

/* ---- what devices do beside operations ---- */

static bs_status wait_for_stream(bs_device *device, void *stream, bs_error *err)
{
    bs_cuda *cuda = device->impl;
    BS_TRY(bs_cuda_enter(cuda, err));
    return BS_CUDA_CALL(cuda, err, cuStreamSynchronize, (CUstream)stream);
}

static bs_status check_memory(bs_device *device, const void *at, bs_error *err)
{
    bs_cuda *cuda = device->impl;
    const CUdeviceptr address = (CUdeviceptr)(uintptr_t)at;
    int kind = 0, number = 0;
    BS_TRY(bs_cuda_enter(cuda, err));
    const int code = cuda->driver->cuPointerGetAttribute(&kind, BS_CU_POINTER_KIND, address);
    if (code == BS_CU_INVALID_VALUE || (code == 0 && kind == BS_CU_HOST))
        return bs_fail(err, BS_VALUE,
                       "the array has the address %p, which is in no memory of a GPU, this handler "
                       "is for GPU %d: create_from_numpy copies numbers of the host",
                       at, device->options.number);
    BS_TRY(bs_cuda_check(cuda, code, "cuPointerGetAttribute", err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuPointerGetAttribute, &number, BS_CU_POINTER_DEVICE, address));
    if (number != device->options.number)
        return bs_fail(err, BS_VALUE, "the array lives on GPU %d, this handler is for GPU %d",
                       number, device->options.number);
    return BS_OK;
}

static int is_fully_finite(bs_handler *h, const bs_array *a)
{
    bs_cuda *cuda = bs_cuda_of(h);
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view view = bs_cuda_matrix(h, a, a->lead);
    const bs_array flag = bs_array_packed(bs_scratch_take(h, sizeof(int)), h->dtype, 0, NULL);
    bs_launch l = bs_launch_over(view.matrix.dim[0], view.matrix.dim[1]);
    int found = 0;
    bs_cuda_flush(h); /* the answer is wanted now */
    bs_launch_array(&l, 0, &view.matrix);
    l.args.array[1].at = flag.data;
    if (h->error.code == BS_OK && bs_cuda_enter(cuda, &h->error) == BS_OK &&
        BS_CUDA_CALL(cuda, &h->error, cuMemsetD8Async, (CUdeviceptr)flag.data, 0, sizeof(int),
                     cuda->stream) == BS_OK) {
        bs_launch_places(h, BS_KERNEL_find_not_finite, &l);
        BS_CUDA_CALL(cuda, &h->error, cuMemcpyDtoHAsync_v2, &found, (CUdeviceptr)flag.data,
                     sizeof found, cuda->stream);
        BS_CUDA_CALL(cuda, &h->error, cuStreamSynchronize, cuda->stream);
    }
    bs_scratch_release(h, mark);
    return !found;
}

/* ---- the handler ---- */

static bs_status open_cuda(bs_device *device, bs_error *err)
{
    static bs_cuda_fill *const fill[] = {bs_cuda_fill_elementwise, bs_cuda_fill_matrix,
                                         bs_cuda_fill_sums,        bs_cuda_fill_ids,
                                         bs_cuda_fill_random,      bs_cuda_fill_images,
                                         bs_cuda_fill_recurrent,   bs_cuda_fill_steppers};
    bs_cuda *cuda = bs_alloc(sizeof *cuda);
    if (!cuda)
        return bs_fail(err, BS_NO_MEMORY, "no memory for a GPU");
    device->impl = cuda;
    cuda->references = 1;
    cuda->dtype = device->dtype;
    cuda->process = getpid();
    pthread_mutex_init(&cuda->lock, NULL);
    BS_TRY(bs_cuda_driver_load(&cuda->driver, err));
    BS_TRY(open_device(cuda, &device->options, err));
    for (size_t i = 0; i < sizeof fill / sizeof fill[0]; i++)
        fill[i](&device->ops);
    device->allocate = bs_cuda_allocate;
    device->write = bs_cuda_write;
    device->read = bs_cuda_read;
    device->is_fully_finite = is_fully_finite;
    device->expect_finite = bs_cuda_expect_finite;
    device->stage = bs_cuda_stage;
    device->upload = bs_cuda_upload;
    device->wait_for_stream = wait_for_stream;
    device->check_memory = check_memory;
    device->finish = bs_cuda_finish;
    device->begin_step = bs_cuda_begin_step;
    device->end_step = bs_cuda_end_step;
    device->flush = bs_cuda_flush;
    device->close_handle = bs_cuda_close_handle;
    return BS_OK;
}

static void close_cuda(bs_device *device)
{
    bs_cuda_release(device->impl);
}

/* The names of all GPUs, or NULL where libraries are missing. */
static const char *info(const char *key)
{
    static char names[1024];
    const bs_cuda_driver *driver;
    CUdevice device;
    char name[128];
    size_t used = 0;
    int n = 0;
    if (strcmp(key, "devices") != 0 || bs_cuda_driver_load(&driver, NULL) != BS_OK ||
        bs_cuda_driver_init(driver, NULL) != BS_OK || driver->cuDeviceGetCount(&n) != 0)
        return NULL;
    names[0] = 0;
    for (int i = 0; i < n && used < sizeof names; i++)
        if (driver->cuDeviceGet(&device, i) == 0 &&
            driver->cuDeviceGetName(name, sizeof name, device) == 0)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s\n", name);
    return names;
}

extern const bs_handler_type bs_cuda_handler;
const bs_handler_type bs_cuda_handler = {
    .name = "cuda", .open = open_cuda, .close = close_cuda, .info = info};
