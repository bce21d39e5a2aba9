/* memory.c - memory of the device is memory of the CPU under addresses that fault if the CPU uses
 * them, as most addresses of a GPU do. */
#include "double.h"

#include <stdlib.h>
#include <string.h>

#include "sanitizer.h"

/* Beyond the 48 bits, or with five levels of pages the part of 57, that processors give to
 * programs; below the byte that arm64 ignores. */
static const CUdeviceptr ON_DEVICE = 1ull << 55;
static const size_t DEVICE_MEMORY = (size_t)4 << 30;
enum {
    ALIGNMENT = 256,
    NOT_WRITTEN = 0xFF,                      /* as a float or double: NaN */
    GUARD = WITH_ADDRESS_SANITIZER ? 0 : 256 /* bytes behind a block that stay NOT_WRITTEN */
};

typedef struct block {
    unsigned char *at;
    size_t bytes;
    int device;
    struct block *next;
} block;

static block *blocks;
static size_t live_bytes;

static int allocate(CUdeviceptr *out, size_t bytes)
{
    void *at;
    block *b;
    if (is_capturing())
        return report(CAPTURING, "an allocation while a stream captures");
    if (bytes == 0)
        return report(INVALID_VALUE, "an allocation of no bytes");
    if (bytes > DEVICE_MEMORY - live_bytes)
        return report(OUT_OF_MEMORY, "out of memory");
    if (posix_memalign(&at, ALIGNMENT, bytes + GUARD) != 0)
        return report(OUT_OF_MEMORY, "out of memory");
    memset(at, NOT_WRITTEN, bytes + GUARD);
    b = malloc(sizeof *b);
    *b = (block){at, bytes, current_device(), blocks};
    blocks = b;
    live_bytes += bytes;
    *out = (CUdeviceptr)at | ON_DEVICE;
    return 0;
}

static int was_written_past_its_end(const block *b)
{
    for (size_t i = b->bytes; i < b->bytes + GUARD; i++)
        if (b->at[i] != NOT_WRITTEN)
            return 1;
    return 0;
}

static int release(CUdeviceptr address)
{
    block **link = &blocks, *b;
    int written;
    if (address == 0)
        return 0;
    while (*link && ((CUdeviceptr)(*link)->at | ON_DEVICE) != address)
        link = &(*link)->next;
    b = *link;
    if (!b)
        return report(INVALID_VALUE, "0x%llx is freed, but was not allocated or is free", address);
    written = was_written_past_its_end(b);
    *link = b->next;
    live_bytes -= b->bytes;
    free(b->at);
    free(b);
    return written ? report(ILLEGAL_ADDRESS, "memory was written past its end") : 0;
}

int are_live(const task *work)
{
    for (size_t k = 0; k < sizeof work->at / sizeof work->at[0]; k++)
        if (work->at[k] &&
            !cpu_address((CUdeviceptr)work->at[k] | ON_DEVICE, 1, "an array of a graph"))
            return 0;
    return 1;
}

int device_of(CUdeviceptr address)
{
    const unsigned char *at = (unsigned char *)(address & ~ON_DEVICE);
    for (const block *b = blocks; b && address & ON_DEVICE; b = b->next)
        if (at >= b->at && at < b->at + b->bytes)
            return b->device;
    return -1;
}

void *cpu_address(CUdeviceptr address, size_t bytes, const char *what)
{
    const unsigned char *at = (unsigned char *)(address & ~ON_DEVICE);
    if (!(address & ON_DEVICE)) {
        report(ILLEGAL_ADDRESS, "%s: 0x%llx is not on the device", what, address);
        return NULL;
    }
    for (const block *b = blocks; b; b = b->next)
        if (at >= b->at && at <= b->at + b->bytes && bytes <= (size_t)(b->at + b->bytes - at) &&
            b->device == current_device())
            return (void *)at;
    report(ILLEGAL_ADDRESS, "%s: %zu bytes at 0x%llx are not all allocated", what, bytes, address);
    return NULL;
}

/* ---- copies ---- */

static int run_copy(const task *work)
{
    for (size_t row = 0; row < work->copy.height; row++)
        memmove(work->copy.to + row * work->copy.to_pitch,
                work->copy.from + row * work->copy.from_pitch, work->copy.width);
    return 0;
}

static int run_set(const task *work)
{
    memset(work->set.to, work->set.value, work->set.bytes);
    return 0;
}

static int set(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)
{
    task work = {run_set, .set = {cpu_address(to, bytes, "what is set"), value, bytes}};
    return work.set.to ? submit(stream, &work) : ILLEGAL_ADDRESS;
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

static int copy(const CUDA_MEMCPY2D *c, CUstream stream)
{
    const size_t width = c->WidthInBytes, height = c->Height;
    const size_t to_pitch = c->dstPitch, from_pitch = c->srcPitch;
    task work = {run_copy, .copy = {NULL, NULL, to_pitch, from_pitch, width, height}};
    if (width == 0 || height == 0)
        return 0;
    if (c->dstXInBytes + width > to_pitch || c->srcXInBytes + width > from_pitch)
        return report(INVALID_VALUE, "a copy: rows of %zu bytes, pitches %zu and %zu", width,
                      to_pitch, from_pitch);
    work.copy.to = side(c->dstMemoryType, c->dstHost, c->dstDevice,
                        c->dstY * to_pitch + c->dstXInBytes, (height - 1) * to_pitch + width);
    work.copy.from = side(c->srcMemoryType, c->srcHost, c->srcDevice,
                          c->srcY * from_pitch + c->srcXInBytes, (height - 1) * from_pitch + width);
    return work.copy.to && work.copy.from ? submit(stream, &work) : INVALID_VALUE;
}

/* ---- the functions ---- */

CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes)
{
    CALL(CONTEXT, allocate(out, bytes));
}

CUresult cuMemFree_v2(CUdeviceptr address)
{
    RELEASE(CONTEXT, release(address));
}

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

long double_live_bytes(void)
{
    return (long)live_bytes;
}
