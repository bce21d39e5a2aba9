/* steps.c - the steps of a training as CUDA graphs.
 *
 * In a step, work is collected, not run. If a list with the same kernels, products and convolutions
 * has come before, it becomes a graph: the GPU gets all of it by one call, without a gap between
 * kernels. What changes from step to step are arguments of kernels (learning rates, draws of random
 * numbers), which are then set in the graph. Other lists run piece by piece, and so does a step
 * that is interrupted because Python looks at arrays. */
#include <string.h>

#include "handlers/cuda/cuda.h"

enum {
    MAX_GRAPHS = 8,       /* kept; for minibatches of several sizes */
    MAX_INTERRUPTIONS = 3 /* in a row, until steps of this handle are not collected any more */
};

typedef struct work_list {
    bs_cuda_work *at;
    int n, capacity;
} work_list;

typedef struct step_graph {
    work_list list; /* its arguments are those that the graph has */
    CUgraph graph;
    CUgraphExec exec;  /* NULL: the list has come once */
    CUgraphNode *node; /* of each piece of work */
    int64_t used;      /* when it came last; 0: never, the place is free */
} step_graph;

typedef struct bs_cuda_steps {
    int is_open, was_interrupted, interruptions;
    work_list now;
    step_graph graph[MAX_GRAPHS];
    int64_t steps;
} bs_cuda_steps;

/* ---- lists ---- */

static int add_work(work_list *list, const bs_cuda_work *work)
{
    if (list->n == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 64;
        bs_cuda_work *larger = bs_alloc((size_t)capacity * sizeof *larger);
        if (!larger)
            return 0;
        if (list->n)
            memcpy(larger, list->at, (size_t)list->n * sizeof *larger);
        bs_free(list->at);
        list->at = larger;
        list->capacity = capacity;
    }
    list->at[list->n++] = *work;
    return 1;
}

/* Whether a node for one piece of work can do the other one: arguments of kernels can be set. */
static int is_alike(const bs_cuda_work *a, const bs_cuda_work *b)
{
    if (a->kind != b->kind)
        return 0;
    switch (a->kind) {
    case BS_CUDA_KERNEL: return a->function == b->function;
    case BS_CUDA_PRODUCT: return memcmp(&a->product, &b->product, sizeof a->product) == 0;
    case BS_CUDA_CONVOLUTION:
        return memcmp(&a->convolution, &b->convolution, sizeof a->convolution) == 0;
    }
    return 0;
}

/* Whether a graph of one list can run the other one. */
static int are_alike(const work_list *a, const work_list *b)
{
    int alike = a->n == b->n;
    for (int i = 0; i < a->n && alike; i++)
        alike = is_alike(&a->at[i], &b->at[i]);
    return alike;
}

static void run_list(bs_handler *h, const work_list *list)
{
    for (int i = 0; i < list->n && h->error.code == BS_OK; i++)
        bs_cuda_run(bs_cuda_of(h), &list->at[i], &h->error);
}

/* ---- graphs ---- */

static void close_graph(bs_cuda *cuda, step_graph *g)
{
    const int usable = (g->exec || g->graph) && bs_cuda_enter_to_release(cuda);
    if (usable && g->exec)
        cuda->driver->cuGraphExecDestroy(g->exec);
    if (usable && g->graph)
        cuda->driver->cuGraphDestroy(g->graph);
    bs_free(g->node);
    bs_free(g->list.at);
    *g = (step_graph){.used = 0};
}

static CUDA_KERNEL_NODE_PARAMS kernel_params(const bs_cuda_work *work, void *args[1])
{
    return (CUDA_KERNEL_NODE_PARAMS){.func = work->function,
                                     .gridDimX = work->blocks,
                                     .gridDimY = 1,
                                     .gridDimZ = 1,
                                     .blockDimX = work->threads,
                                     .blockDimY = 1,
                                     .blockDimZ = 1,
                                     .kernelParams = args};
}

static bs_status add_kernel(bs_cuda *cuda, step_graph *g, int i, bs_error *err)
{
    bs_cuda_work *work = &g->list.at[i];
    void *args[1] = {&work->args};
    const CUDA_KERNEL_NODE_PARAMS params = kernel_params(work, args);
    return BS_CUDA_CALL(cuda, err, cuGraphAddKernelNode_v2, &g->node[i], g->graph,
                        i ? &g->node[i - 1] : NULL, (size_t)(i > 0), &params);
}

/* What a library puts on the stream becomes a node with a graph of its own. */
static bs_status add_captured(bs_cuda *cuda, step_graph *g, int i, bs_error *err)
{
    CUgraph part = NULL;
    bs_error failed = {0};
    bs_status status = BS_OK;
    pthread_mutex_lock(&cuda->lock);
    BS_TRY_DONE(BS_CUDA_CALL(cuda, err, cuStreamBeginCapture_v2, cuda->capture,
                             BS_CU_CAPTURE_THREAD_LOCAL));
    bs_cuda_put(cuda, cuda->capture, &g->list.at[i], &failed);
    BS_TRY_DONE(BS_CUDA_CALL(cuda, err, cuStreamEndCapture, cuda->capture, &part));
    if (failed.code != BS_OK)
        BS_TRY_DONE(bs_fail(err, failed.code, "%s", failed.text));
    BS_TRY_DONE(BS_CUDA_CALL(cuda, err, cuGraphAddChildGraphNode, &g->node[i], g->graph,
                             i ? &g->node[i - 1] : NULL, (size_t)(i > 0), part));
done:
    pthread_mutex_unlock(&cuda->lock);
    if (part)
        cuda->driver->cuGraphDestroy(part); /* the node has a copy */
    return status;
}

static bs_status build_graph(bs_cuda *cuda, step_graph *g, bs_error *err)
{
    g->node = bs_alloc((size_t)g->list.n * sizeof *g->node);
    if (!g->node)
        return bs_fail(err, BS_NO_MEMORY, "no memory for a graph of %d kernels", g->list.n);
    BS_TRY(bs_cuda_enter(cuda, err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuGraphCreate, &g->graph, 0));
    for (int i = 0; i < g->list.n; i++)
        BS_TRY(g->list.at[i].kind == BS_CUDA_KERNEL ? add_kernel(cuda, g, i, err)
                                                    : add_captured(cuda, g, i, err));
    return BS_CUDA_CALL(cuda, err, cuGraphInstantiateWithFlags, &g->exec, g->graph, 0);
}

/* Sets in the graph what differs from the list. */
static bs_status update_graph(bs_cuda *cuda, step_graph *g, const work_list *list, bs_error *err)
{
    for (int i = 0; i < list->n; i++) {
        bs_cuda_work *work = &g->list.at[i];
        if (work->kind != BS_CUDA_KERNEL || memcmp(work, &list->at[i], sizeof *work) == 0)
            continue;
        *work = list->at[i];
        void *args[1] = {&work->args};
        const CUDA_KERNEL_NODE_PARAMS params = kernel_params(work, args);
        BS_TRY(BS_CUDA_CALL(cuda, err, cuGraphExecKernelNodeSetParams_v2, g->exec, g->node[i],
                            &params));
    }
    return BS_OK;
}

static bs_status run_graph(bs_cuda *cuda, step_graph *g, const work_list *list, bs_error *err)
{
    BS_TRY(bs_cuda_enter(cuda, err));
    if (!g->exec)
        BS_TRY(build_graph(cuda, g, err));
    BS_TRY(update_graph(cuda, g, list, err));
    return BS_CUDA_CALL(cuda, err, cuGraphLaunch, g->exec, cuda->stream);
}

/* ---- steps ---- */

/* The graph of such a list, or NULL. */
static step_graph *find_graph(bs_cuda_steps *s, const work_list *list)
{
    for (int i = 0; i < MAX_GRAPHS; i++)
        if (s->graph[i].used && are_alike(&s->graph[i].list, list))
            return &s->graph[i];
    return NULL;
}

/* Keeps the list, in the place of the one that has not come for the longest time. */
static void remember(bs_cuda *cuda, bs_cuda_steps *s)
{
    step_graph *oldest = &s->graph[0];
    for (int i = 1; i < MAX_GRAPHS; i++)
        if (s->graph[i].used < oldest->used)
            oldest = &s->graph[i];
    close_graph(cuda, oldest);
    oldest->list = s->now;
    oldest->used = s->steps;
    s->now = (work_list){.n = 0};
}

static void run_step(bs_handler *h, bs_cuda_steps *s)
{
    bs_cuda *cuda = bs_cuda_of(h);
    step_graph *g = find_graph(s, &s->now);
    s->steps++;
    if (!g) {
        run_list(h, &s->now);
        if (h->error.code == BS_OK)
            remember(cuda, s);
    } else {
        g->used = s->steps;
        if (run_graph(cuda, g, &s->now, &h->error) != BS_OK)
            close_graph(cuda, g);
    }
}

void bs_cuda_begin_step(bs_handler *h)
{
    bs_cuda_handle *handle = bs_cuda_handle_of(h);
    if (handle && !handle->steps && !(handle->steps = bs_alloc(sizeof *handle->steps)))
        bs_fail(&h->error, BS_NO_MEMORY, "no memory for the steps of a GPU");
    if (!handle || !handle->steps)
        return;
    handle->steps->was_interrupted = handle->steps->interruptions >= MAX_INTERRUPTIONS;
    handle->steps->is_open = 1;
}

static void close_step(bs_handler *h, bs_cuda_steps *s)
{
    s->is_open = 0;
    s->interruptions = s->was_interrupted
                           ? s->interruptions + (s->interruptions < MAX_INTERRUPTIONS)
                           : 0;
    if (h->error.code == BS_OK && s->now.n > 0)
        run_step(h, s);
    s->now.n = 0;
}

void bs_cuda_end_step(bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    bs_cuda_steps *s = handle ? handle->steps : NULL;
    if (s && s->is_open)
        close_step(h, s);
    bs_cuda_end_reports(h);
}

void bs_cuda_flush(bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    bs_cuda_steps *s = handle ? handle->steps : NULL;
    if (!s || !s->is_open)
        return;
    s->was_interrupted = 1;
    run_list(h, &s->now);
    s->now.n = 0;
}

int bs_cuda_is_in_step(const bs_handler *h)
{
    const bs_cuda_handle *handle = h->impl;
    return handle && handle->steps && handle->steps->is_open;
}

void bs_cuda_submit(bs_handler *h, const bs_cuda_work *work)
{
    const bs_cuda_handle *handle = h->impl;
    bs_cuda_steps *s = handle ? handle->steps : NULL;
    if (h->error.code != BS_OK)
        return;
    if (!s || !s->is_open || s->was_interrupted)
        bs_cuda_run(bs_cuda_of(h), work, &h->error);
    else if (!add_work(&s->now, work))
        bs_fail(&h->error, BS_NO_MEMORY, "no memory for the work of a step");
}

void bs_cuda_close_steps(bs_cuda *cuda, bs_cuda_steps *steps)
{
    for (int i = 0; steps && i < MAX_GRAPHS; i++)
        close_graph(cuda, &steps->graph[i]);
    if (steps)
        bs_free(steps->now.at);
    bs_free(steps);
}
