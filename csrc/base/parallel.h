/* parallel.h - the thread pool, the only user of threads in the engine.
 *
 * Work is cut by shape and never by the number of threads, so a result does not depend on how many
 * there are. The caller takes part; it waits for finished tasks, not for workers. A task that
 * itself calls bs_parallel runs the inner tasks on its own thread. Several callers may use the pool
 * at once: the one that comes second runs its tasks alone. The pool survives fork(): the child
 * makes new workers at its first use. */
#ifndef BS_BASE_PARALLEL_H
#define BS_BASE_PARALLEL_H

#include <stdint.h>

#include "base/status.h"

enum { BS_MAX_THREADS = 256 };

/* One task: `task` counts from 0, `thread` is in [0, bs_num_threads()) and belongs to this task
 * alone while it runs. */
typedef void bs_task(void *context, int64_t task, int thread);

/* Runs tasks 0 .. n-1, in any order, and returns when all have finished. */
void bs_parallel(int64_t n, bs_task *task, void *context);

/* Threads in use, the caller included. At first BRAINSTORM_NUM_THREADS, else the cores this process
 * may use. */
int bs_num_threads(void);
/* BS_VALUE if BRAINSTORM_NUM_THREADS is set to something else than 1 .. BS_MAX_THREADS. */
bs_status bs_check_threads_wanted(bs_error *err);
bs_status bs_set_num_threads(int n, bs_error *err); /* BS_VALUE unless 1 <= n <= BS_MAX_THREADS */

#endif
