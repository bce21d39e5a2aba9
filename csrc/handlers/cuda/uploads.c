/* uploads.c - minibatches on their way to the device while it works on the update before.
 *
 * Numbers are put into pinned memory of the host, go from there to memory of the device on a stream
 * for copies, and from there to their array on the stream for work, which waits for them. So an
 * array is overwritten after the work that was asked for before, and nobody waits on the host but
 * for a slot, which two minibatches later has long been done. */
#include "handlers/cuda/cuda.h"

enum {
    SLOTS = 4,      /* two minibatches of data and targets; with more arrays the host may wait */
    MOST = 64 << 20 /* bytes: more is no minibatch, and not worth its memory on both sides */
};

typedef struct slot {
    size_t bytes;
    void *host;         /* pinned */
    CUdeviceptr device; /* taken on the stream for copies */
    CUevent done;       /* the numbers are on the device, then: they are in their array */
} slot;

typedef struct bs_cuda_uploads {
    CUstream stream; /* for copies */
    slot slot[SLOTS];
    int next;
} bs_cuda_uploads;

/* ---- slots ---- */

/* Nobody may be using it. */
static void empty_slot(bs_cuda *cuda, CUstream stream, slot *s)
{
    if (s->host)
        cuda->driver->cuMemFreeHost(s->host);
    if (s->device)
        bs_cuda_give_back(cuda, stream, s->device);
    *s = (slot){.done = s->done};
}

/* Waits until it is free, and makes it as large as that. */
static bs_status prepare_slot(bs_cuda *cuda, CUstream stream, slot *s, size_t bytes, bs_error *err)
{
    BS_TRY(BS_CUDA_CALL(cuda, err, cuEventSynchronize, s->done));
    if (s->bytes >= bytes)
        return BS_OK;
    empty_slot(cuda, stream, s);
    BS_TRY(BS_CUDA_CALL(cuda, err, cuMemHostAlloc, &s->host, bytes, 0));
    BS_TRY(bs_cuda_take(cuda, stream, bytes, &s->device, err));
    s->bytes = bytes;
    return BS_OK;
}

/* ---- opening and closing ---- */

void bs_cuda_close_uploads(bs_cuda *cuda, bs_cuda_uploads *uploads)
{
    if (uploads && uploads->stream && bs_cuda_enter_to_release(cuda)) {
        for (int i = 0; i < SLOTS && uploads->slot[i].done; i++) {
            cuda->driver->cuEventSynchronize(uploads->slot[i].done);
            empty_slot(cuda, uploads->stream, &uploads->slot[i]);
            cuda->driver->cuEventDestroy_v2(uploads->slot[i].done);
        }
        cuda->driver->cuStreamDestroy_v2(uploads->stream);
    }
    bs_free(uploads);
}

static bs_status open_uploads(bs_cuda *cuda, bs_cuda_uploads *out, bs_error *err)
{
    BS_TRY(BS_CUDA_CALL(cuda, err, cuStreamCreate, &out->stream, BS_CU_NON_BLOCKING));
    for (int i = 0; i < SLOTS; i++)
        BS_TRY(BS_CUDA_CALL(cuda, err, cuEventCreate, &out->slot[i].done, BS_CU_NO_TIMING));
    return BS_OK;
}

/* Those of the handle, whose device has been entered; NULL and the sticky error. */
static bs_cuda_uploads *uploads_of(bs_handler *h)
{
    bs_cuda *cuda = bs_cuda_of(h);
    bs_cuda_handle *handle = bs_cuda_handle_of(h);
    if (!handle || bs_cuda_enter(cuda, &h->error) != BS_OK)
        return NULL;
    if (handle->uploads)
        return handle->uploads;
    bs_cuda_uploads *own = bs_alloc(sizeof *own);
    if (!own) {
        bs_fail(&h->error, BS_NO_MEMORY, "no memory for uploads to a GPU");
        return NULL;
    }
    if (open_uploads(cuda, own, &h->error) == BS_OK)
        return handle->uploads = own;
    bs_cuda_close_uploads(cuda, own);
    return NULL;
}

/* ---- uploading ---- */

void *bs_cuda_stage(bs_handler *h, size_t bytes)
{
    bs_cuda_uploads *own = bytes <= MOST ? uploads_of(h) : NULL;
    slot *s = own ? &own->slot[own->next] : NULL;
    if (s && prepare_slot(bs_cuda_of(h), own->stream, s, bytes, &h->error) == BS_OK)
        return s->host;
    if (h->error.code == BS_NO_MEMORY)
        h->error.code = BS_OK;
    return NULL;
}

static bs_status upload(bs_handler *h, const bs_cuda_uploads *own, const slot *s,
                        const bs_array *to)
{
    bs_cuda *cuda = bs_cuda_of(h);
    bs_error *err = &h->error;
    const size_t bytes = (size_t)bs_count(to) * bs_dtype_size(to->dtype);
    bs_array there = *to;
    there.data = (void *)s->device;
    there.pitch = bs_cols(to);
    BS_TRY(BS_CUDA_CALL(cuda, err, cuMemcpyHtoDAsync_v2, s->device, s->host, bytes, own->stream));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuEventRecord, s->done, own->stream));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuStreamWaitEvent, cuda->stream, s->done, 0));
    bs_copy_to(h, &there, to);
    BS_TRY(BS_CUDA_CALL(cuda, err, cuEventRecord, s->done, cuda->stream));
    return err->code;
}

void bs_cuda_upload(bs_handler *h, const bs_array *to)
{
    bs_cuda *cuda = bs_cuda_of(h);
    bs_cuda_uploads *own = uploads_of(h);
    if (!own)
        return;
    if (upload(h, own, &own->slot[own->next], to) != BS_OK)
        cuda->driver->cuCtxSynchronize(); /* for what the event does not tell */
    own->next = (own->next + 1) % SLOTS;
}
