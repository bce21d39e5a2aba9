/* handle.c - what a handle of a GPU carries. */
#include "handlers/cuda/cuda.h"

bs_cuda_handle *bs_cuda_handle_of(bs_handler *h)
{
    if (!h->impl && !(h->impl = bs_alloc(sizeof(bs_cuda_handle))))
        bs_fail(&h->error, BS_NO_MEMORY, "no memory for a handle of a GPU");
    return h->impl;
}

void bs_cuda_close_handle(bs_handler *h)
{
    bs_cuda *cuda = h->device->memory->impl;
    bs_cuda_handle *handle = h->impl;
    if (!handle)
        return;
    if (bs_cuda_enter_to_release(cuda))
        cuda->driver->cuStreamSynchronize(cuda->stream); /* an update may be on its way */
    bs_cuda_close_steps(cuda, handle->steps);
    bs_cuda_close_reports(cuda, handle->reports);
    bs_cuda_close_uploads(cuda, handle->uploads);
    bs_free(handle);
}
