/* launch.c - what a launch has to be like, the order in which its blocks run, and the threads that
 * know nothing of each other, which are a plain loop. */
#include "double.h"

#include <limits.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include "on_cpu.h"

struct double_dim threadIdx, blockIdx, blockDim, gridDim;

/* ---- the order ---- */

static int order = ASCENDING;
static unsigned random_state;

void double_set_order(int wanted)
{
    order = wanted;
    random_state = 1;
}

static unsigned random_below(unsigned n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static unsigned common_divisor(unsigned a, unsigned b)
{
    while (b) {
        const unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

walk walk_through(unsigned n)
{
    walk w = {n, 0, 1};
    if (order == DESCENDING)
        w = (walk){n, n - 1, n - 1};
    if (order == RANDOM) {
        w.first = random_below(n);
        do
            w.step = 1 + random_below(n);
        while (common_divisor(w.step, n) != 1);
    }
    return w;
}

/* ---- running ---- */

static jmp_buf alone;
static char violation[128];

void end_alone(const char *how, int line)
{
    snprintf(violation, sizeof violation, "line %d: %s", line, how);
    longjmp(alone, 1);
}

static int run_alone(const task *work)
{
    const walk threads = walk_through(work->launch.threads);
    if (setjmp(alone))
        return report(LAUNCH_FAILED, "%s is ALONE, but %s", work->launch.function->name, violation);
    for (unsigned k = 0; k < threads.n; k++) {
        threadIdx.x = place_of(&threads, k);
        work->launch.function->run(work->launch.args);
    }
    return 0;
}

static int fail_unloaded(const task *work)
{
    return report(INVALID_HANDLE, "%s: its module is not loaded any more",
                  work->launch.function->name);
}

static int run_launch(const task *work)
{
    const walk blocks = walk_through(work->launch.blocks);
    if (!is_loaded(work->launch.function))
        return fail_unloaded(work);
    gridDim.x = work->launch.blocks;
    blockDim.x = work->launch.threads;
    for (unsigned k = 0; k < blocks.n; k++) {
        int code;
        blockIdx.x = place_of(&blocks, k);
        code = work->launch.function->kind == ALONE ? run_alone(work) : run_together(work);
        if (code)
            return code;
    }
    return 0;
}

/* ---- checks ---- */

/* Arrays that a kernel does not take are NULL. */
static int translate_addresses(task *work)
{
    char what[96];
    for (int k = 0; k < BS_KERNEL_ARRAYS; k++) {
        void **at = &work->launch.args.array[k].at;
        snprintf(what, sizeof what, "array %d of %s", k, work->launch.function->name);
        if (*at && !(*at = cpu_address((CUdeviceptr)(uintptr_t)*at, 0, what)))
            return ILLEGAL_ADDRESS;
        work->at[k] = *at;
    }
    return 0;
}

static int check_shape(const task *work)
{
    const unsigned blocks = work->launch.blocks, threads = work->launch.threads;
    if (blocks < 1 || blocks > INT_MAX || threads < 1 || threads > 1024 ||
        (work->launch.function->kind == TOGETHER && threads % 32 != 0))
        return report(INVALID_VALUE, "%s: %u blocks of %u threads", work->launch.function->name,
                      blocks, threads);
    return is_loaded(work->launch.function) ? 0 : fail_unloaded(work);
}

int launch_kernel(CUfunction function, unsigned blocks, unsigned threads,
                  const bs_kernel_args *args, CUstream stream)
{
    task work = {run_launch, .launch = {function, blocks, threads, *args}};
    int code = check_shape(&work);
    if (!code)
        code = translate_addresses(&work);
    return code ? code : submit(stream, &work);
}

CUresult cuLaunchKernel(CUfunction function, unsigned int blocks, unsigned int blocks_y,
                        unsigned int blocks_z, unsigned int threads, unsigned int threads_y,
                        unsigned int threads_z, unsigned int shared, CUstream stream, void **args,
                        void **extra)
{
    const int is_plain = blocks_y == 1 && blocks_z == 1 && threads_y == 1 && threads_z == 1 &&
                         shared == 0 && args && !extra;
    CALL(CONTEXT, is_plain ? launch_kernel(function, blocks, threads, args[0], stream)
                           : report(INVALID_VALUE,
                                    "%s: kernels have one dimension, one argument "
                                    "and no dynamic memory",
                                    function->name));
}
