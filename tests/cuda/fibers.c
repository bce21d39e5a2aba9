/* fibers.c - the threads of a block that meet each other: each on a stack of its own (a fiber).
 *
 * A warp goes on until all its threads wait for the block or are done, and only then the next one
 * begins: of all orders that a GPU may take the one that shows most clearly that a barrier is
 * missing. Threads that miss each other there are found here, where a GPU would hang or compute
 * nonsense. */
#undef _FORTIFY_SOURCE /* its longjmp refuses to go to another stack */
#include "double.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "on_cpu.h"
#include "sanitizer.h"

enum { THREADS = 1024, LANES = 32, STACK = 256 << 10 };

enum state { READY, AT_BARRIER, AT_EXCHANGE, DONE };

typedef struct fiber {
    jmp_buf place; /* where it goes on */
    ucontext_t beginning;
    stack stack;
    int has_begun; /* it lives on from block to block and from launch to launch */
    enum state state;
    int line;     /* where it waits */
    double value; /* in an exchange: what it gives, then what it gets */
    int mask;     /* ... and from whom */
} fiber;

static fiber fibers[THREADS];
static jmp_buf scheduler;
static stack scheduler_stack;
static const task *running; /* NULL: no block is on fibers */
static unsigned me;         /* the fiber that runs */

/* ---- switching ---- */

static void wait_as(enum state state, int line)
{
    fiber *f = &fibers[me];
    f->state = state;
    f->line = line;
    leave_stack(&f->stack, &scheduler_stack);
    if (!_setjmp(f->place))
        _longjmp(scheduler, 1);
    enter_stack(&fibers[me].stack, &scheduler_stack);
}

static void live(void)
{
    enter_stack(&fibers[me].stack, &scheduler_stack);
    for (;;) {
        running->launch.function->run(running->launch.args);
        wait_as(DONE, 0);
    }
}

static void begin(fiber *f)
{
    f->has_begun = 1;
    getcontext(&f->beginning);
    f->beginning.uc_stack.ss_sp = (void *)f->stack.bottom;
    f->beginning.uc_stack.ss_size = STACK;
    f->beginning.uc_link = NULL;
    makecontext(&f->beginning, live, 0);
    setcontext(&f->beginning);
}

/* Runs thread k until it waits. */
static void resume(unsigned k)
{
    fiber *f = &fibers[k];
    me = threadIdx.x = k;
    leave_stack(&scheduler_stack, &f->stack);
    if (!_setjmp(scheduler)) {
        if (f->has_begun)
            _longjmp(f->place, 1);
        begin(f);
    }
    enter_stack(&scheduler_stack, &fibers[me].stack);
}

/* Fibers in the middle of a kernel do not go on after a failure. */
static void give_up(unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        forget_stack(&fibers[k].stack);
        fibers[k].has_begun = 0;
        fibers[k].stack.frames = NULL;
    }
}

static int fail(const char *what, unsigned k)
{
    return report(LAUNCH_FAILED, "%s, line %d: %s (block %u, thread %u)",
                  running->launch.function->name, fibers[k].line, what, blockIdx.x, k);
}

/* ---- warps and blocks ---- */

/* How many of the n threads from `first` on are in a state; *one is one of them. */
static unsigned count(enum state state, unsigned first, unsigned n, unsigned *one)
{
    unsigned found = 0;
    for (unsigned k = first; k < first + n; k++)
        if (fibers[k].state == state) {
            *one = k;
            found++;
        }
    return found;
}

/* Waiting threads go on, if all n from `first` on wait, and in the same line. */
static int release(unsigned first, unsigned n, unsigned waiting, unsigned one, const char *missing)
{
    if (waiting != n)
        return fail(missing, one);
    for (unsigned k = first; k < first + n; k++) {
        if (fibers[k].line != fibers[one].line)
            return fail("threads meet in different lines", k);
        fibers[k].state = READY;
    }
    return 0;
}

static int exchange(unsigned first, unsigned waiting, unsigned one)
{
    double given[LANES];
    for (unsigned lane = 0; lane < LANES; lane++)
        given[lane] = fibers[first + lane].value;
    for (unsigned lane = 0; lane < LANES; lane++)
        fibers[first + lane].value = given[(lane ^ (unsigned)fibers[first + lane].mask) % LANES];
    return release(first, LANES, waiting, one, "an exchange without all lanes of the warp");
}

/* Goes on until all threads of a warp wait for the block or are done. */
static int run_warp(unsigned first)
{
    for (;;) {
        const walk lanes = walk_through(LANES);
        unsigned one = 0, waiting;
        int code;
        for (unsigned k = 0; k < LANES; k++) {
            const unsigned thread = first + place_of(&lanes, k);
            if (fibers[thread].state == READY)
                resume(thread);
        }
        waiting = count(AT_EXCHANGE, first, LANES, &one);
        if (waiting == 0)
            return 0;
        code = exchange(first, waiting, one);
        if (code)
            return code;
    }
}

static int run_block(unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        if (!fibers[k].stack.bottom)
            fibers[k].stack = (stack){malloc(STACK), STACK, NULL};
        fibers[k].state = READY;
    }
    for (;;) {
        const walk warps = walk_through(n / LANES);
        unsigned one = 0, waiting;
        int code = 0;
        for (unsigned k = 0; k < warps.n && !code; k++)
            code = run_warp(place_of(&warps, k) * LANES);
        if (code)
            return code;
        waiting = count(AT_BARRIER, 0, n, &one);
        if (waiting == 0)
            return 0;
        code = release(0, n, waiting, one, "a barrier that not all threads of the block reach");
        if (code)
            return code;
    }
}

/* ---- shared memory ---- */

enum {
    ARRAYS = 8,
    BYTES = 48 << 10,  /* what a GPU has for a block */
    GUARD = 1024,      /* behind an array, where nobody writes */
    NOT_WRITTEN = 0xFF /* as a float or double: NaN */
};

static struct {
    const char *key; /* NULL: free */
    size_t bytes;
    unsigned char at[BYTES + GUARD];
} shared[ARRAYS];

void *double_shared(const char *key, size_t bytes)
{
    int i = 0;
    if (!running)
        end_alone("it has shared memory", 0);
    while (shared[i].key && shared[i].key != key)
        i++;
    if (!shared[i].key) {
        shared[i].key = key;
        shared[i].bytes = bytes;
        memset(shared[i].at, NOT_WRITTEN, bytes + GUARD);
    }
    return shared[i].at;
}

static int check_shared(void)
{
    for (int i = 0; i < ARRAYS && shared[i].key; i++)
        for (size_t k = shared[i].bytes; k < shared[i].bytes + GUARD; k++)
            if (shared[i].at[k] != NOT_WRITTEN)
                return report(LAUNCH_FAILED, "%s writes past the end of %zu bytes of shared memory",
                              running->launch.function->name, shared[i].bytes);
    return 0;
}

static void free_shared(void)
{
    for (int i = 0; i < ARRAYS; i++)
        shared[i].key = NULL;
}

/* ---- what kernels call ---- */

void double_sync(int line)
{
    if (!running)
        end_alone("a barrier", line);
    wait_as(AT_BARRIER, line);
}

double double_from_lane(double value, int mask, int line)
{
    if (!running)
        end_alone("an exchange with other lanes", line);
    fibers[me].value = value;
    fibers[me].mask = mask;
    wait_as(AT_EXCHANGE, line);
    return fibers[me].value;
}

int run_together(const task *work)
{
    int code;
    running = work;
    code = run_block(work->launch.threads);
    if (code)
        give_up(work->launch.threads);
    else
        code = check_shared();
    free_shared();
    running = NULL;
    return code;
}
