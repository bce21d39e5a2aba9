/* memory.c - memory of the device is memory of the CPU under addresses that fault if the CPU uses
 * them, as most addresses of a GPU do. */
#include "double.h"

#include <stdlib.h>
#include <string.h>

#include "sanitizer.h"

static size_t device_memory = (size_t)4 << 30;
enum {
    ALIGNMENT = 256,
    NOT_WRITTEN = 0xFF,                       /* as a float or double: NaN */
    GUARD = WITH_ADDRESS_SANITIZER ? 0 : 256, /* bytes behind a block that stay NOT_WRITTEN */
    WHOLE = 8 << 20,                          /* bytes of a block that is all NOT_WRITTEN */
    END = 64 << 10                            /* ... and at either end of a larger one */
};

typedef struct block {
    unsigned char *at;
    size_t bytes;
    int device;
    CUmemoryPool pool; /* that it is from, or NULL */
    int is_freed;      /* as soon as its stream gets there */
    struct block *next;
} block;

struct CUmemPoolHandle_st {
    CUmemoryPool next;
    size_t live;      /* bytes of blocks */
    size_t kept;      /* bytes of freed ones that are not given back to the device */
    size_t threshold; /* more are not kept */
    int is_destroyed; /* it goes with its last block */
};

static block *blocks, *pinned;
static CUmemoryPool pools;

/* ---- blocks ---- */

/* Mostly, a block that is larger than the arrays which tests look into is a workspace of cuBLAS,
 * which the products here leave alone: to fill all of it takes longer than all else that a small
 * test does. */
static void make_unwritten(unsigned char *at, size_t bytes)
{
    const size_t first = bytes <= WHOLE ? bytes : END;
    memset(at, NOT_WRITTEN, first);
    if (first < bytes)
        memset(at + bytes - END, NOT_WRITTEN, END);
}

/* Memory with a guard behind it; NULL after a report. */
static block *new_block(block **list, size_t bytes)
{
    void *at;
    block *b;
    if (bytes == 0) {
        report(INVALID_VALUE, "an allocation of no bytes");
        return NULL;
    }
    if (posix_memalign(&at, ALIGNMENT, bytes + GUARD) != 0) {
        report(OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    make_unwritten(at, bytes + GUARD);
    b = calloc(1, sizeof *b);
    *b = (block){.at = at, .bytes = bytes, .device = current_device(), .next = *list};
    return *list = b;
}

static int was_written_past_its_end(const block *b)
{
    for (size_t i = b->bytes; i < b->bytes + GUARD; i++)
        if (b->at[i] != NOT_WRITTEN)
            return 1;
    return 0;
}

/* What is read there from now on is NaN. */
static int free_block(block **list, block *b)
{
    const int written = was_written_past_its_end(b);
    while (*list != b)
        list = &(*list)->next;
    *list = b->next;
    make_unwritten(b->at, b->bytes);
    free(b->at);
    free(b);
    return written ? report(ILLEGAL_ADDRESS, "memory was written past its end") : 0;
}

/* The block that has all these bytes, or NULL. */
static block *block_with(block *list, const void *first, size_t bytes)
{
    const unsigned char *at = first;
    for (block *b = list; b; b = b->next)
        if (at >= b->at && at <= b->at + b->bytes && bytes <= (size_t)(b->at + b->bytes - at))
            return b;
    return NULL;
}

int device_of(CUdeviceptr address)
{
    const block *b = block_with(blocks, (void *)(address & ~ON_DEVICE), 1);
    return b && address & ON_DEVICE ? b->device : -1;
}

void *cpu_address(CUdeviceptr address, size_t bytes, const char *what)
{
    void *at = (void *)(address & ~ON_DEVICE);
    const block *b = block_with(blocks, at, bytes);
    if (b && !b->is_freed && b->device == current_device() && (address & ON_DEVICE))
        return at;
    if (!(address & ON_DEVICE))
        report(ILLEGAL_ADDRESS, "%s: 0x%llx is not on the device", what, address);
    else
        report(ILLEGAL_ADDRESS, "%s: %zu bytes at 0x%llx are not all allocated", what, bytes,
               address);
    return NULL;
}

int is_live(const void *at)
{
    return block_with(blocks, at, 0) != NULL;
}

int is_pinned(const void *at)
{
    return block_with(pinned, at, 1) != NULL;
}

/* The block that begins at an address and can be freed; NULL after a report. */
static block *block_at(CUdeviceptr address)
{
    block *b = blocks;
    while (b && ((CUdeviceptr)b->at | ON_DEVICE) != address)
        b = b->next;
    if (b && !b->is_freed)
        return b;
    report(INVALID_VALUE, "0x%llx is freed, but was not allocated or is free", address);
    return NULL;
}

static size_t bytes_of(const block *list)
{
    size_t sum = 0;
    for (; list; list = list->next)
        sum += list->bytes;
    return sum;
}

static size_t bytes_of_pools(void)
{
    size_t sum = 0;
    for (CUmemoryPool pool = pools; pool; pool = pool->next)
        sum += pool->kept;
    return sum;
}

static int has_room(size_t bytes)
{
    if (bytes_of(blocks) + bytes_of_pools() + bytes <= device_memory)
        return 1;
    report(OUT_OF_MEMORY, "out of memory");
    return 0;
}

static int allocate(CUdeviceptr *out, size_t bytes)
{
    block *b;
    if (is_capturing())
        return report(CAPTURING, "an allocation while a stream captures");
    if (!has_room(bytes))
        return OUT_OF_MEMORY;
    if (!(b = new_block(&blocks, bytes)))
        return INVALID_VALUE;
    *out = (CUdeviceptr)b->at | ON_DEVICE;
    return 0;
}

/* As on a GPU, nobody can have been using it then. */
static int release(CUdeviceptr address)
{
    block *b;
    if (address == 0)
        return 0;
    run_everything();
    if (!(b = block_at(address)))
        return INVALID_VALUE;
    if (b->pool)
        return report(INVALID_VALUE, "memory of a pool is freed as if it were none");
    return free_block(&blocks, b);
}

/* ---- pools ---- */

static CUmemoryPool *link_to_pool(CUmemoryPool pool)
{
    CUmemoryPool *link = &pools;
    while (*link && *link != pool)
        link = &(*link)->next;
    return link;
}

static int is_pool(CUmemoryPool pool)
{
    if (pool && *link_to_pool(pool) && !pool->is_destroyed)
        return 1;
    report(INVALID_VALUE, "this is no pool");
    return 0;
}

static int create_pool(CUmemoryPool *out, const CUmemPoolProps *props)
{
    CUmemoryPool pool;
    if (props->allocType != BS_CU_PINNED || props->location.type != BS_CU_ON_DEVICE ||
        props->location.id != current_device() || props->handleTypes ||
        props->win32SecurityAttributes)
        return report(INVALID_VALUE, "the properties of a pool");
    pool = calloc(1, sizeof *pool);
    pool->next = pools;
    *out = pools = pool;
    count_object(1);
    return 0;
}

static void trim(CUmemoryPool pool, size_t bytes)
{
    if (pool->kept > bytes)
        pool->kept = bytes;
}

static void close_if_unused(CUmemoryPool pool)
{
    if (!pool->is_destroyed || pool->live > 0)
        return;
    *link_to_pool(pool) = pool->next;
    free(pool);
    count_object(-1);
}

static int destroy_pool(CUmemoryPool pool)
{
    if (!is_pool(pool))
        return INVALID_VALUE;
    pool->is_destroyed = 1;
    close_if_unused(pool);
    return 0;
}

static int set_threshold(CUmemoryPool pool, CUmemPool_attribute what, const void *value)
{
    if (!is_pool(pool) || what != BS_CU_POOL_THRESHOLD)
        return report(INVALID_VALUE, "attribute %d of a pool", (int)what);
    pool->threshold = (size_t) * (const uint64_t *)value;
    return 0;
}

static int run_make_unwritten(const task *work)
{
    make_unwritten(work->at[0], work->set.bytes);
    return 0;
}

/* It holds something only from where the stream is now: whoever writes there earlier loses it. */
static int allocate_from_pool(CUdeviceptr *out, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    block *b;
    task work;
    int code;
    if (!is_pool(pool))
        return INVALID_VALUE;
    if (bytes <= pool->kept)
        trim(pool, pool->kept - bytes);
    if ((code = allocate(out, bytes)) != 0)
        return code;
    b = block_at(*out);
    b->pool = pool;
    pool->live += bytes;
    work = (task){run_make_unwritten, {b->at}, .set = {.bytes = bytes}};
    return submit(stream, &work);
}

static int run_release(const task *work)
{
    block *b = work->release.block;
    CUmemoryPool pool = b->pool;
    const size_t bytes = b->bytes;
    const int code = free_block(&blocks, b);
    pool->live -= bytes;
    if (pool->kept + bytes <= pool->threshold)
        pool->kept += bytes;
    close_if_unused(pool);
    return code;
}

static int release_to_pool(CUdeviceptr address, CUstream stream)
{
    block *b = block_at(address);
    const task work = {run_release, .release = {b}};
    if (!b)
        return INVALID_VALUE;
    if (!b->pool)
        return report(INVALID_VALUE, "memory of no pool is freed as if it were of one");
    b->is_freed = 1;
    return submit(stream, &work);
}

/* ---- pinned memory of the host ---- */

static int allocate_pinned(void **out, size_t bytes)
{
    block *b = new_block(&pinned, bytes);
    if (!b)
        return OUT_OF_MEMORY;
    *out = b->at;
    return 0;
}

static int free_pinned(void *at)
{
    block *b = block_with(pinned, at, 0);
    if (!b || b->at != at)
        return report(INVALID_VALUE, "%p is freed, but is no pinned memory", at);
    return free_block(&pinned, b);
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

CUresult cuMemPoolCreate(CUmemoryPool *out, const CUmemPoolProps *props)
{
    CALL(CONTEXT, create_pool(out, props));
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    RELEASE(CONTEXT, destroy_pool(pool));
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute what, void *value)
{
    CALL(CONTEXT, set_threshold(pool, what, value));
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t bytes)
{
    CALL(CONTEXT, is_pool(pool) ? (trim(pool, bytes), 0) : INVALID_VALUE);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *out, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    CALL(CONTEXT, allocate_from_pool(out, bytes, pool, stream));
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream)
{
    RELEASE(CONTEXT, release_to_pool(address, stream));
}

CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned int flags)
{
    (void)flags;
    CALL(CONTEXT, allocate_pinned(out, bytes));
}

CUresult cuMemFreeHost(void *at)
{
    RELEASE(CONTEXT, free_pinned(at));
}

/* ---- for tests ---- */

size_t double_set_memory(size_t bytes)
{
    const size_t before = device_memory;
    device_memory = bytes;
    return before;
}

long double_live_bytes(void)
{
    run_everything();
    return (long)(bytes_of(blocks) + bytes_of(pinned));
}

long double_pooled_bytes(void)
{
    run_everything();
    return (long)bytes_of_pools();
}
