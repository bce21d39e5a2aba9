/* memory.c - counted allocations, arenas of small structures, blocks of numbers. */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { HUGE_PAGE = 1 << 21 }; /* bytes */

static atomic_llong allocations, live, fail_countdown;

static int must_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)
        return 0;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

/* Large memory in large pages where the system has them: a matrix is walked along its columns too,
 * and each row would be another page to look up. */
static void *allocate(size_t bytes)
{
    const size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : BS_ALIGNMENT;
    const size_t rounded = bytes ? (bytes + alignment - 1) / alignment * alignment : alignment;
    void *memory = rounded < bytes ? NULL : aligned_alloc(alignment, rounded);
#if defined(__linux__)
    if (memory && alignment == HUGE_PAGE)
        madvise(memory, rounded, MADV_HUGEPAGE); /* a wish only */
#endif
    return memory;
}

void *bs_alloc(size_t bytes)
{
    void *memory = must_fail() ? NULL : allocate(bytes);
    if (!memory)
        return NULL;
    memset(memory, 0, bytes);
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return memory;
}

void bs_free(void *memory)
{
    if (!memory)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(memory);
}

void bs_alloc_fail_at(int64_t n)
{
    atomic_store(&fail_countdown, n);
}

int64_t bs_alloc_count(void)
{
    return atomic_load(&allocations);
}

int64_t bs_alloc_live(void)
{
    return atomic_load(&live);
}

/* ---- arena ---- */

enum { CHUNK_BYTES = 1 << 14 };

struct bs_arena_chunk {
    struct bs_arena_chunk *before;
    size_t used, bytes; /* of the memory behind this head */
};

/* The head is padded to the alignment, so that the memory behind it is aligned too. */
static const size_t head_bytes = BS_ALIGNMENT;

void *bs_arena_alloc(bs_arena *arena, size_t bytes)
{
    const size_t align = sizeof(max_align_t);
    const size_t rounded = (bytes + align - 1) / align * align;
    struct bs_arena_chunk *chunk = arena->last;
    if (rounded < bytes)
        return NULL;
    if (!chunk || chunk->bytes - chunk->used < rounded) {
        const size_t room = rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES;
        if (room + head_bytes < room || !(chunk = bs_alloc(head_bytes + room)))
            return NULL;
        chunk->before = arena->last;
        chunk->bytes = room;
        arena->last = chunk;
    }
    void *memory = (char *)chunk + head_bytes + chunk->used;
    chunk->used += rounded;
    return memory;
}

char *bs_arena_text(bs_arena *arena, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = bs_arena_alloc(arena, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void bs_arena_close(bs_arena *arena)
{
    while (arena->last) {
        struct bs_arena_chunk *before = arena->last->before;
        bs_free(arena->last);
        arena->last = before;
    }
}

/* ---- block ---- */

bs_block *bs_block_retain(bs_block *block)
{
    if (block)
        __atomic_add_fetch(&block->references, 1, __ATOMIC_RELAXED);
    return block;
}

void bs_block_release(bs_block *block)
{
    if (block && __atomic_sub_fetch(&block->references, 1, __ATOMIC_ACQ_REL) == 0)
        block->release(block);
}
