/* parallel.c - the thread pool.
 *
 * The tasks of a job are divided into as many ranges as threads take part. A thread works through
 * its own range, then through what is left of the others'. So what a thread has written in one job
 * lies in its own cache when the next job over the same arrays reads it.
 *
 * A range has a *ticket*: generation << 32 | tasks that are taken. Whoever wants a task takes it by
 * compare-and-swap of the ticket, which fails if the generation has changed meanwhile; so a worker
 * that comes late to a job takes nothing, and nobody needs to wait for it. The caller waits until
 * all tasks are counted in `finished`.
 *
 * Order of writes for a new job: close the tickets (new generation, no task left), write the
 * fields, open the tickets, tell the generation. A worker reads ticket, fields, ticket: if it has
 * seen a field of a newer job, its swap on the older ticket fails. A job begins only when all tasks
 * of the one before are counted; so a range that it leaves out has none left, and whoever has run a
 * task that is not counted yet keeps that job open. */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/subnormal.h"

enum {
    SPIN_WORKER = 4000,
    SPIN_CALLER = 2000
}; /* looks before sleeping, or giving the core away */

#define CLOSED   0xffffffffu /* taken of a range without tasks */
#define OWN_LINE _Alignas(128)

typedef struct range {
    OWN_LINE atomic_uint_fast64_t ticket;
    _Atomic int64_t first; /* tasks first .. first + n - 1 */
    _Atomic uint32_t n;
} range;

static struct {
    OWN_LINE _Atomic uint32_t generation; /* of the job; the first is 1 */
    OWN_LINE _Atomic int64_t finished;    /* tasks of the job */
    OWN_LINE _Atomic(bs_task *) task;     /* the job */
    _Atomic(void *) context;
    atomic_int threads;       /* that take part; workers with a number from there on do not */
    OWN_LINE atomic_int busy; /* somebody runs a job; guards n_workers */
    int n_workers;            /* started in this process */
    atomic_int n_threads;     /* 0: not decided yet */
    OWN_LINE atomic_int sleeping;
    pthread_mutex_t mutex; /* for sleeping and waking only */
    pthread_cond_t wake;
    range ranges[BS_MAX_THREADS];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static _Thread_local int
    current_thread; /* number of the task this thread runs; a nested call keeps it */
static _Thread_local int told_threads; /* what bs_num_threads has said last to this thread */

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes and runs tasks of a range of the present job until there are none; how many. */
static int64_t work_through(range *r, int thread)
{
    int64_t done = 0;
    for (uint64_t ticket = atomic_load(&r->ticket);;) {
        bs_task *task = atomic_load_explicit(&pool.task, memory_order_acquire);
        void *context = atomic_load_explicit(&pool.context, memory_order_acquire);
        const int64_t first = atomic_load_explicit(&r->first, memory_order_acquire);
        const uint32_t n = atomic_load_explicit(&r->n, memory_order_acquire);
        const int threads = atomic_load_explicit(&pool.threads, memory_order_acquire);
        const uint32_t taken = (uint32_t)ticket;
        if (taken >= n || thread >= threads)
            return done;
        if (!atomic_compare_exchange_weak(&r->ticket, &ticket, ticket + 1))
            continue;
        task(context, first + taken, thread);
        done++;
        ticket = atomic_load(&r->ticket);
    }
}

static void work(int thread)
{
    const int threads = atomic_load_explicit(&pool.threads, memory_order_acquire);
    int64_t done = 0;
    current_thread = thread;
    for (int i = 0; i < threads; i++)
        done += work_through(&pool.ranges[(thread + i) % threads], thread);
    current_thread = 0;
    if (done)
        atomic_fetch_add_explicit(&pool.finished, done, memory_order_release);
}

static void *worker(void *argument)
{
    const int thread = (int)(intptr_t)argument;
    uint32_t seen = 0, job;
    bs_flush_subnormals(1);
    for (;;) {
        for (int spin = 0; (job = atomic_load(&pool.generation)) == seen; spin++) {
            if (spin < SPIN_WORKER) {
                pause_briefly();
                continue;
            }
            pthread_mutex_lock(&pool.mutex);
            atomic_fetch_add(&pool.sleeping, 1);
            while (atomic_load(&pool.generation) == seen)
                pthread_cond_wait(&pool.wake, &pool.mutex);
            atomic_fetch_sub(&pool.sleeping, 1);
            pthread_mutex_unlock(&pool.mutex);
        }
        seen = job;
        work(thread);
    }
    return NULL;
}

static void start_anew(void) /* in the child of a fork: no worker has come along */
{
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
    atomic_store(&pool.sleeping, 0);
    for (int i = 0; i < BS_MAX_THREADS; i++) /* nor is a job of the parent anything to go on with */
        atomic_fetch_or(&pool.ranges[i].ticket, CLOSED);
    atomic_store(&pool.busy, 0);
    pool.n_workers = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, start_anew);
}

/* Starts workers until there are `wanted`. If the system gives no more, the others do the work. */
static void start_workers(int wanted)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    if (pool.n_workers >= wanted || pthread_attr_init(&attributes) != 0)
        return;
    pthread_once(&fork_once, watch_forks);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* signals belong to the threads of the program */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.n_workers < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker, (void *)(intptr_t)(pool.n_workers + 1)) !=
            0)
            break;
        pool.n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void run_serially(int64_t n, bs_task *task, void *context)
{
    for (int64_t i = 0; i < n; i++)
        task(context, i, current_thread);
}

static void open_job(int64_t n, bs_task *task, void *context, int threads)
{
    uint32_t generation = atomic_load(&pool.generation) + 1;
    if (generation == 0)
        generation = 1; /* 0 is what a new worker has seen */
    for (int i = 0; i < threads; i++)
        atomic_store(&pool.ranges[i].ticket, (uint64_t)generation << 32 | CLOSED);
    atomic_store_explicit(&pool.task, task, memory_order_release);
    atomic_store_explicit(&pool.context, context, memory_order_release);
    atomic_store_explicit(&pool.threads, threads, memory_order_release);
    atomic_store_explicit(&pool.finished, 0, memory_order_release);
    int64_t first = 0;
    for (int i = 0; i < threads; i++) {
        range *r = &pool.ranges[i];
        /* rounded up: the caller, who is awake, has a task first */
        const int64_t end = (n * (i + 1) + threads - 1) / threads;
        atomic_store_explicit(&r->first, first, memory_order_release);
        atomic_store_explicit(&r->n, (uint32_t)(end - first), memory_order_release);
        atomic_store(&r->ticket, (uint64_t)generation << 32);
        first = end;
    }
    atomic_store(&pool.generation, generation);
    if (atomic_load(&pool.sleeping)) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
}

void bs_parallel(int64_t n, bs_task *task, void *context)
{
    /* The caller may have cut its scratch by what it was told, so no more threads than that may
     * come. */
    const int now = told_threads ? atomic_load(&pool.n_threads) : bs_num_threads();
    const int threads = now < told_threads ? now : told_threads;
    BS_ASSERT(n < CLOSED);
    if (n <= 1 || threads == 1 || atomic_exchange(&pool.busy, 1)) {
        run_serially(n, task, context);
        return;
    }
    start_workers(threads - 1);
    open_job(n, task, context, threads);
    work(0);
    for (int spin = 0; atomic_load_explicit(&pool.finished, memory_order_acquire) < n; spin++) {
        if (spin < SPIN_CALLER)
            pause_briefly();
        else
            sched_yield();
    }
    atomic_store(&pool.busy, 0);
}

/* BRAINSTORM_NUM_THREADS as a number; 0: not set, -1: no number of threads. */
static long threads_wanted(void)
{
    const char *text = getenv("BRAINSTORM_NUM_THREADS");
    char *end;
    if (!text || !*text)
        return 0;
    const long n = strtol(text, &end, 10);
    return *end || n < 1 || n > BS_MAX_THREADS ? -1 : n;
}

bs_status bs_check_threads_wanted(bs_error *err)
{
    if (threads_wanted() >= 0)
        return BS_OK;
    return bs_fail(err, BS_VALUE, "BRAINSTORM_NUM_THREADS is '%s', expected 1 to %d",
                   getenv("BRAINSTORM_NUM_THREADS"), BS_MAX_THREADS);
}

static int default_threads(void)
{
    long n = threads_wanted();
#if defined(__linux__)
    cpu_set_t set;
    if (n < 1 && sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    if (n < 1)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > BS_MAX_THREADS ? BS_MAX_THREADS : (int)n;
}

int bs_num_threads(void)
{
    int n = atomic_load(&pool.n_threads);
    if (n == 0) {
        const int wanted = default_threads();
        if (atomic_compare_exchange_strong(&pool.n_threads, &n, wanted))
            n = wanted;
    }
    told_threads = n;
    return n;
}

bs_status bs_set_num_threads(int n, bs_error *err)
{
    if (n < 1 || n > BS_MAX_THREADS)
        return bs_fail(err, BS_VALUE, "the number of threads is %d, expected 1 to %d", n,
                       BS_MAX_THREADS);
    atomic_store(&pool.n_threads, n);
    told_threads = n;
    return BS_OK;
}
