/* copies.c - copies and fills, which look again at their memory when they are done. */
#include "double.h"

#include <string.h>

static int run_copy(const task *work)
{
    for (size_t row = 0; row < work->copy.height; row++)
        memmove(work->copy.to + row * work->copy.to_pitch,
                work->copy.from + row * work->copy.from_pitch, work->copy.width);
    return 0;
}

static uint64_t content_of(const task *work)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t row = 0; row < work->copy.height; row++)
        for (size_t i = 0; i < work->copy.width; i++)
            hash = (hash ^ work->copy.from[row * work->copy.from_pitch + i]) * 1099511628211u;
    return hash;
}

int is_still_there(const task *work)
{
    for (size_t k = 0; k < BS_KERNEL_ARRAYS; k++)
        if (work->at[k] && !is_live(work->at[k])) {
            report(ILLEGAL_ADDRESS, "memory was freed before work on it was done");
            return 0;
        }
    if (work->run != run_copy || !work->copy.pinned)
        return 1;
    if (!is_pinned(work->copy.pinned))
        report(ILLEGAL_ADDRESS, "pinned memory was freed before a copy was done");
    else if (work->copy.pinned == work->copy.from && content_of(work) != work->copy.content)
        report(ILLEGAL_ADDRESS, "pinned memory was written before a copy from there was done");
    else
        return 1;
    return 0;
}

static int run_set(const task *work)
{
    memset(work->at[0], work->set.value, work->set.bytes);
    return 0;
}

static int set(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)
{
    const task work = {run_set, {cpu_address(to, bytes, "what is set")}, .set = {value, bytes}};
    return work.at[0] ? submit(stream, &work) : ILLEGAL_ADDRESS;
}

/* The first byte of a side of a copy; NULL after a report. */
static void *side(int kind, const void *host, CUdeviceptr device, size_t first, size_t span)
{
    if (kind == BS_CU_DEVICE)
        return cpu_address(device + first, span, "a copy");
    if (kind == BS_CU_HOST && host && !((CUdeviceptr)host & ON_DEVICE))
        return (char *)host + first;
    report(INVALID_VALUE, "a copy: memory of kind %d at %p", kind, host);
    return NULL;
}

/* A copy to or from memory of the host that is not pinned is done when the call returns. */
static int submit_copy(task *work, CUstream stream, const void *host)
{
    int code;
    if (host && is_pinned(host)) {
        work->copy.pinned = host;
        work->copy.content = content_of(work);
        host = NULL;
    }
    code = submit(stream, work);
    return host && !code ? finish(stream) : code;
}

static int copy(const CUDA_MEMCPY2D *c, CUstream stream)
{
    const size_t width = c->WidthInBytes, height = c->Height;
    const size_t to_pitch = c->dstPitch, from_pitch = c->srcPitch;
    task work = {
        run_copy,
        .copy = {.to_pitch = to_pitch, .from_pitch = from_pitch, .width = width, .height = height}};
    if (width == 0 || height == 0)
        return 0;
    if (c->dstXInBytes + width > to_pitch || c->srcXInBytes + width > from_pitch)
        return report(INVALID_VALUE, "a copy: rows of %zu bytes, pitches %zu and %zu", width,
                      to_pitch, from_pitch);
    work.copy.to = side(c->dstMemoryType, c->dstHost, c->dstDevice,
                        c->dstY * to_pitch + c->dstXInBytes, (height - 1) * to_pitch + width);
    work.copy.from = side(c->srcMemoryType, c->srcHost, c->srcDevice,
                          c->srcY * from_pitch + c->srcXInBytes, (height - 1) * from_pitch + width);
    if (!work.copy.to || !work.copy.from)
        return INVALID_VALUE;
    work.at[0] = c->dstMemoryType == BS_CU_DEVICE ? work.copy.to : NULL;
    work.at[1] = c->srcMemoryType == BS_CU_DEVICE ? (void *)(uintptr_t)work.copy.from : NULL;
    return submit_copy(&work, stream,
                       !work.at[0]   ? work.copy.to
                       : !work.at[1] ? work.copy.from
                                     : NULL);
}

/* ---- the functions ---- */

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)
{
    CALL(CONTEXT, set(to, value, bytes, stream));
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *c, CUstream stream)
{
    CALL(CONTEXT, copy(c, stream));
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    const CUDA_MEMCPY2D c = {.dstMemoryType = BS_CU_DEVICE,
                             .dstDevice = to,
                             .dstPitch = bytes,
                             .srcMemoryType = BS_CU_HOST,
                             .srcHost = from,
                             .srcPitch = bytes,
                             .WidthInBytes = bytes,
                             .Height = 1};
    CALL(CONTEXT, copy(&c, stream));
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    const CUDA_MEMCPY2D c = {.dstMemoryType = BS_CU_HOST,
                             .dstHost = to,
                             .dstPitch = bytes,
                             .srcMemoryType = BS_CU_DEVICE,
                             .srcDevice = from,
                             .srcPitch = bytes,
                             .WidthInBytes = bytes,
                             .Height = 1};
    CALL(CONTEXT, copy(&c, stream));
}
