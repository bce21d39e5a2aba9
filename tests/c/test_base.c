/* test_base.c - status, memory, Philox, subnormal numbers and the thread pool. */
#include <float.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "bs_test.h"

BS_TEST(status_keeps_the_first_failure)
{
    bs_error err = {0};
    CHECK(bs_fail(&err, BS_VALUE, "%d is %s", 3, "odd") == BS_VALUE);
    CHECK(bs_fail(&err, BS_KEY, "later") == BS_KEY);
    CHECK(err.code == BS_VALUE);
    CHECK_TEXT(err.text, "3 is odd");
    CHECK(bs_fail(NULL, BS_TYPE, "nobody listens") == BS_TYPE);
}

BS_TEST(status_prefix)
{
    bs_error err = {0};
    bs_error_prefix(&err, "nothing to prefix");
    CHECK(err.code == BS_OK && err.text[0] == 0);
    bs_fail(&err, BS_VALUE, "wrong");
    bs_error_prefix(&err, "layer '%s'", "Hid");
    CHECK_TEXT(err.text, "layer 'Hid': wrong");
}

BS_TEST(status_append)
{
    bs_error err = {0};
    bs_error_append(&err, "nothing to append to");
    CHECK(err.code == BS_OK && err.text[0] == 0);
    bs_fail(&err, BS_VALUE, "wrong");
    bs_error_append(&err, "; there are: %s", "right");
    CHECK_TEXT(err.text, "wrong; there are: right");
    for (int i = 0; i < BS_ERROR_TEXT; i++)
        bs_error_append(&err, ", more");
    CHECK(strlen(err.text) == BS_ERROR_TEXT - 1);
}

BS_TEST(memory_counts)
{
    const int64_t count = bs_alloc_count(), live = bs_alloc_live();
    char *memory = bs_alloc(100);
    CHECK((uintptr_t)memory % BS_ALIGNMENT == 0);
    for (int i = 0; i < 100; i++)
        CHECK(memory[i] == 0);
    CHECK(bs_alloc_count() == count + 1 && bs_alloc_live() == live + 1);
    bs_free(memory);
    bs_free(NULL);
    CHECK(bs_alloc_live() == live);
    CHECK(bs_alloc(SIZE_MAX) == NULL);
}

BS_TEST(memory_fails_at_the_nth)
{
    bs_alloc_fail_at(2);
    void *first = bs_alloc(1), *second = bs_alloc(1), *third = bs_alloc(1);
    bs_alloc_fail_at(0);
    CHECK(first && !second && third);
    bs_free(first);
    bs_free(third);
}

BS_TEST(arena_gives_aligned_zeroed_memory)
{
    bs_arena arena = {0};
    const int64_t live = bs_alloc_live();
    for (size_t bytes = 1; bytes < 100000; bytes = bytes * 3 + 1) {
        char *memory = bs_arena_alloc(&arena, bytes);
        CHECK(memory && (uintptr_t)memory % sizeof(max_align_t) == 0);
        CHECK(memory[0] == 0 && memory[bytes - 1] == 0);
        memset(memory, 255, bytes);
    }
    CHECK_TEXT(bs_arena_text(&arena, "copied"), "copied");
    bs_arena_close(&arena);
    CHECK(bs_alloc_live() == live);
}

static int released;

static void release(bs_block *block)
{
    (void)block;
    released++;
}

BS_TEST(block_is_freed_with_the_last_reference)
{
    bs_block block = {.references = 1, .release = release};
    released = 0;
    CHECK(bs_block_retain(&block) == &block);
    bs_block_release(&block);
    CHECK(released == 0);
    bs_block_release(&block);
    CHECK(released == 1);
    bs_block_release(bs_block_retain(NULL));
}

BS_TEST(philox_known_answers) /* of the authors' reference implementation */
{
    static const struct {
        uint64_t key, draw, block;
        uint32_t out[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        bs_philox(known[i].key, known[i].draw, known[i].block, out);
        CHECK(memcmp(out, known[i].out, sizeof out) == 0);
    }
}

BS_TEST(subnormals_are_flushed_on_demand)
{
    volatile float small = FLT_MIN / 4, normal = FLT_MIN; /* computed when the program runs */
    volatile double small_64 = DBL_MIN / 4, normal_64 = DBL_MIN;
    const int before = bs_flush_subnormals(1);
    CHECK(small * 16 == 0 && small_64 * 16 == 0); /* operands */
    CHECK(normal / 4 == 0 && normal_64 / 4 == 0); /* results */
    CHECK(bs_flush_subnormals(1) && bs_flush_subnormals(0));
    CHECK(small * 16 > 0 && small_64 * 16 > 0 && normal / 4 > 0 && normal_64 / 4 > 0);
    CHECK(!bs_flush_subnormals(before));
}

/* ---- the pool ---- */

enum { N_TASKS = 1000 };

static atomic_int runs[N_TASKS];
static atomic_int using_thread[BS_MAX_THREADS];
static atomic_int wrong;

static void count_task(void *context, int64_t task, int thread)
{
    (void)context;
    if (thread < 0 || thread >= BS_MAX_THREADS)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&runs[task], 1);
}

static void clear_runs(void)
{
    atomic_store(&wrong, 0);
    for (int i = 0; i < N_TASKS; i++)
        atomic_store(&runs[i], 0);
}

static int all_ran(int64_t n, int times)
{
    for (int64_t i = 0; i < N_TASKS; i++)
        if (atomic_load(&runs[i]) != (i < n ? times : 0))
            return 0;
    return atomic_load(&wrong) == 0;
}

BS_TEST(parallel_runs_every_task_once)
{
    const int before = bs_num_threads();
    for (int threads = 1; threads <= 7; threads += 2) {
        CHECK(bs_set_num_threads(threads, NULL) == BS_OK && bs_num_threads() == threads);
        for (int64_t n = 0; n <= N_TASKS; n = 2 * n + 1) {
            clear_runs();
            bs_parallel(n, count_task, NULL);
            CHECK(all_ran(n, 1));
        }
    }
    clear_runs();
    for (int repeat = 0; repeat < 2000;
         repeat++) /* short jobs: late workers meet new generations */
        bs_parallel(3, count_task, NULL);
    CHECK(all_ran(3, 2000));
    bs_set_num_threads(before, NULL);
}

static void exclusive_task(void *context, int64_t task, int thread)
{
    (void)context, (void)task;
    if (atomic_fetch_add(&using_thread[thread], 1) != 0)
        atomic_fetch_add(&wrong, 1);
    for (volatile int i = 0; i < 1000; i++)
        ;
    atomic_fetch_sub(&using_thread[thread], 1);
}

BS_TEST(parallel_threads_are_exclusive)
{
    const int before = bs_num_threads();
    bs_set_num_threads(4, NULL);
    atomic_store(&wrong, 0);
    bs_parallel(500, exclusive_task, NULL);
    CHECK(atomic_load(&wrong) == 0);
    bs_set_num_threads(before, NULL);
}

/* Ends when all tasks of the job run at the same time, or after a long time. */
static void meeting_task(void *context, int64_t task, int thread)
{
    struct timespec now;
    (void)task, (void)thread;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const time_t end = now.tv_sec + 20;
    atomic_fetch_add((atomic_int *)context, 1);
    while (atomic_load((atomic_int *)context) < 2 && now.tv_sec < end) {
        sched_yield();
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    if (atomic_load((atomic_int *)context) < 2)
        atomic_fetch_add(&wrong, 1);
}

BS_TEST(parallel_has_workers_at_every_job)
{
    const int before = bs_num_threads();
    bs_set_num_threads(2, NULL);
    atomic_store(&wrong, 0);
    for (int job = 0; job < 2000 && atomic_load(&wrong) == 0; job++) {
        atomic_int arrived = 0;
        bs_parallel(2, meeting_task, &arrived);
    }
    CHECK(atomic_load(&wrong) == 0);
    bs_set_num_threads(before, NULL);
}

static void inner_task(void *context, int64_t task, int thread)
{
    if (thread != *(int *)context)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&runs[task], 1);
}

static void outer_task(void *context, int64_t task, int thread)
{
    (void)context, (void)task;
    bs_parallel(10, inner_task, &thread);
}

BS_TEST(parallel_nests)
{
    const int before = bs_num_threads();
    bs_set_num_threads(3, NULL);
    clear_runs();
    bs_parallel(50, outer_task, NULL);
    CHECK(all_ran(10, 50));
    bs_set_num_threads(before, NULL);
}

static void *caller(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++)
        bs_parallel(N_TASKS, count_task, NULL);
    return NULL;
}

BS_TEST(parallel_serves_several_callers)
{
    pthread_t threads[3];
    const int before = bs_num_threads();
    bs_set_num_threads(2, NULL);
    clear_runs();
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, NULL) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(all_ran(N_TASKS, 600));
    bs_set_num_threads(before, NULL);
}

BS_TEST(parallel_refuses_wrong_numbers)
{
    bs_error err = {0};
    CHECK(bs_set_num_threads(0, NULL) == BS_VALUE);
    CHECK(bs_set_num_threads(BS_MAX_THREADS + 1, &err) == BS_VALUE);
    CHECK_TEXT(err.text, "the number of threads is 257, expected 1 to 256");
}
