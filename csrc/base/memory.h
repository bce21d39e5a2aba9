/* memory.h - every allocation of the engine goes through here, so that tests can count them and
 * make one fail. */
#ifndef BS_BASE_MEMORY_H
#define BS_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { BS_ALIGNMENT = 64 }; /* bytes; every block of numbers starts on such an address */

/* Zeroed memory on a 64-byte boundary, or NULL. Owned by the caller: release with bs_free. */
void *bs_alloc(size_t bytes);
void bs_free(void *memory);

/* For tests: the n-th allocation from now on fails (1 = the next one), 0 = none fails. */
void bs_alloc_fail_at(int64_t n);
/* For tests: how many allocations there have been, and how many are not freed. */
int64_t bs_alloc_count(void);
int64_t bs_alloc_live(void);

/* An arena: many small structures that live and die together. All zero is an empty arena. */
typedef struct bs_arena {
    struct bs_arena_chunk *last;
} bs_arena;

/* Zeroed memory, aligned for any type, that lives until bs_arena_close; NULL if there is none. */
void *bs_arena_alloc(bs_arena *arena, size_t bytes);
char *bs_arena_text(bs_arena *arena,
                    const char *text); /* a copy of text; NULL if there is no memory */
void bs_arena_close(bs_arena *arena);

/* Sets *(out) to n zeroed elements from the arena, or fails with BS_NO_MEMORY naming `what`. */
#define BS_ARENA_NEW(arena, out, n, what, err)                                                     \
    ((*(out) = bs_arena_alloc((arena), (size_t)((n) > 0 ? (n) : 1) * sizeof **(out))) != NULL      \
         ? BS_OK                                                                                   \
         : bs_fail((err), BS_NO_MEMORY, "no memory for %s", (what)))

/* A block: reference-counted numbers. A network and every Python leaf on its memory hold one. */
typedef struct bs_block {
    void *data;
    size_t bytes;
    int is_shown;                            /* to others, whose work on it nobody here waits for */
    int64_t references;                      /* changed only with atomic operations */
    void (*release)(struct bs_block *block); /* frees data; set by the handler that made it */
} bs_block;

bs_block *bs_block_retain(bs_block *block); /* NULL is allowed */
void bs_block_release(bs_block *block);     /* frees it with the last reference; NULL is allowed */

#endif
