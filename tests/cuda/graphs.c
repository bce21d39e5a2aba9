/* graphs.c - streams that collect work instead of doing it, and graphs of such work. */
#include "double.h"

#include <stdlib.h>
#include <string.h>

/* A node keeps a kernel as it was given, so that its addresses are looked up at each launch; a
 * child is a list of tasks. */
struct CUgraphNode_st {
    struct CUgraphNode_st *next;
    int is_kernel;
    CUfunction function;
    unsigned blocks, threads;
    bs_kernel_args args;
    CUgraph child; /* owned */
};

struct CUgraph_st {
    struct CUgraphNode_st *first, *last;
    task *tasks; /* of a captured graph */
    int n_tasks;
};

struct CUgraphExec_st {
    CUgraph graph; /* a copy */
    int n;
    CUgraphNode *original; /* of each node of the copy */
};

static CUgraph new_graph(void)
{
    count_object(1);
    return calloc(1, sizeof(struct CUgraph_st));
}

static int destroy_graph(CUgraph graph)
{
    struct CUgraphNode_st *node = graph ? graph->first : NULL;
    if (!graph)
        return report(INVALID_VALUE, "no graph to destroy");
    while (node) {
        struct CUgraphNode_st *next = node->next;
        if (node->child)
            destroy_graph(node->child);
        free(node);
        node = next;
    }
    free(graph->tasks);
    free(graph);
    count_object(-1);
    return 0;
}

/* ---- capturing ---- */

static CUgraph capturing;
static CUstream capture_stream;

int capture_task(CUstream stream, const task *work)
{
    CUgraph g = capturing;
    if (!g || stream != capture_stream)
        return 0;
    g->tasks = realloc(g->tasks, (size_t)(g->n_tasks + 1) * sizeof *g->tasks);
    g->tasks[g->n_tasks++] = *work;
    return 1;
}

int is_capturing(void)
{
    return capturing != NULL;
}

static int begin(CUstream stream, CUstreamCaptureMode mode)
{
    if (!stream || mode != BS_CU_CAPTURE_THREAD_LOCAL)
        return report(INVALID_VALUE, "this stream cannot capture in mode %d", (int)mode);
    if (capturing)
        return report(CAPTURE_INVALID, "a capture is going on");
    capturing = new_graph();
    capture_stream = stream;
    return 0;
}

static int end(CUstream stream, CUgraph *out)
{
    if (!capturing || stream != capture_stream)
        return report(CAPTURE_INVALID, "this stream does not capture");
    *out = capturing;
    capturing = NULL;
    return 0;
}

/* ---- building ---- */

/* Work is one line: each node depends on the one before. */
static int append(CUgraph graph, const CUgraphNode *before, size_t n, CUgraphNode *out)
{
    struct CUgraphNode_st *node;
    if (!graph || n != (size_t)(graph->last != NULL) || (n && before[0] != graph->last))
        return report(INVALID_VALUE, "a node that does not follow the last one");
    node = calloc(1, sizeof *node);
    if (graph->last)
        graph->last->next = node;
    else
        graph->first = node;
    *out = graph->last = node;
    return 0;
}

static int set_kernel(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p)
{
    if (p->gridDimY != 1 || p->gridDimZ != 1 || p->blockDimY != 1 || p->blockDimZ != 1 ||
        p->sharedMemBytes || !p->kernelParams || p->extra || !p->func)
        return report(INVALID_VALUE, "kernels have one dimension, one argument and no dynamic "
                                     "memory");
    node->is_kernel = 1;
    node->function = p->func;
    node->blocks = p->gridDimX;
    node->threads = p->blockDimX;
    memcpy(&node->args, p->kernelParams[0], sizeof node->args);
    return 0;
}

static int add_kernel(CUgraphNode *out, CUgraph graph, const CUgraphNode *before, size_t n,
                      const CUDA_KERNEL_NODE_PARAMS *p)
{
    const int code = append(graph, before, n, out);
    return code ? code : set_kernel(*out, p);
}

static CUgraph copy_graph(CUgraph graph)
{
    CUgraph copy = new_graph();
    copy->n_tasks = graph->n_tasks;
    if (graph->n_tasks) {
        copy->tasks = malloc((size_t)graph->n_tasks * sizeof *copy->tasks);
        memcpy(copy->tasks, graph->tasks, (size_t)graph->n_tasks * sizeof *copy->tasks);
    }
    for (struct CUgraphNode_st *node = graph->first; node; node = node->next) {
        CUgraphNode made;
        append(copy, &copy->last, copy->last != NULL, &made);
        *made = *node;
        made->next = NULL;
        if (node->child)
            made->child = copy_graph(node->child);
    }
    return copy;
}

static int add_child(CUgraphNode *out, CUgraph graph, const CUgraphNode *before, size_t n,
                     CUgraph child)
{
    const int code = child ? append(graph, before, n, out)
                           : report(INVALID_VALUE, "a child that is no graph");
    if (!code)
        (*out)->child = copy_graph(child);
    return code;
}

/* ---- running ---- */

static long graph_launches;

static int instantiate(CUgraphExec *out, CUgraph graph)
{
    CUgraphExec exec = calloc(1, sizeof *exec);
    int i = 0;
    exec->graph = copy_graph(graph);
    for (struct CUgraphNode_st *node = graph->first; node; node = node->next)
        exec->n++;
    exec->original = calloc((size_t)exec->n + 1, sizeof *exec->original);
    for (struct CUgraphNode_st *node = graph->first; node; node = node->next)
        exec->original[i++] = node;
    count_object(1);
    *out = exec;
    return 0;
}

static int destroy_exec(CUgraphExec exec)
{
    if (!exec)
        return report(INVALID_VALUE, "no graph to destroy");
    destroy_graph(exec->graph);
    free(exec->original);
    free(exec);
    count_object(-1);
    return 0;
}

static int set_params(CUgraphExec exec, CUgraphNode original, const CUDA_KERNEL_NODE_PARAMS *p)
{
    struct CUgraphNode_st *node = exec->graph->first;
    for (int i = 0; i < exec->n; i++, node = node->next)
        if (exec->original[i] == original)
            return node->is_kernel && node->function == p->func
                       ? set_kernel(node, p)
                       : report(INVALID_VALUE, "another function for a node");
    return report(INVALID_VALUE, "this node is not in the graph");
}

static int run(CUgraph graph, CUstream stream)
{
    int code = 0;
    for (int i = 0; i < graph->n_tasks && !code; i++)
        code = is_still_there(&graph->tasks[i]) ? submit(stream, &graph->tasks[i])
                                                : ILLEGAL_ADDRESS;
    for (struct CUgraphNode_st *node = graph->first; node && !code; node = node->next)
        code = node->is_kernel
                   ? launch_kernel(node->function, node->blocks, node->threads, &node->args, stream)
                   : run(node->child, stream);
    return code;
}

/* ---- the functions ---- */

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    CALL(CONTEXT, begin(stream, mode));
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *out)
{
    RELEASE(CONTEXT, end(stream, out));
}

CUresult cuGraphCreate(CUgraph *out, unsigned int flags)
{
    CALL(CONTEXT, flags ? report(INVALID_VALUE, "flags of a graph") : (*out = new_graph(), 0));
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *out, CUgraph graph, const CUgraphNode *before,
                                 size_t n, const CUDA_KERNEL_NODE_PARAMS *params)
{
    CALL(CONTEXT, add_kernel(out, graph, before, n, params));
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *out, CUgraph graph, const CUgraphNode *before,
                                  size_t n, CUgraph child)
{
    CALL(CONTEXT, add_child(out, graph, before, n, child));
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags)
{
    CALL(CONTEXT, flags ? report(INVALID_VALUE, "flags of a graph") : instantiate(out, graph));
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS *params)
{
    CALL(CONTEXT, set_params(exec, node, params));
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    CALL(CONTEXT, (graph_launches++, run(exec->graph, stream)));
}

CUresult cuGraphDestroy(CUgraph graph)
{
    RELEASE(CONTEXT, destroy_graph(graph));
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    RELEASE(CONTEXT, destroy_exec(exec));
}

/* ---- for tests ---- */

long double_graph_launches(void)
{
    return graph_launches;
}
