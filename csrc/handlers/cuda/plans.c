/* plans.c - see plans.h. A plan is made of descriptors, which are created, given attributes and
 * finished. What cuDNN proposes for an operation, best first, are configurations of its engines. */
#include "handlers/cuda/plans.h"

#include "base/memory.h"

enum {
    MAX_NOTES = 16,
    LARGEST_WORKSPACE = 256 << 20, /* faster plans are not worth more memory */
    /* Attributes of an operation, counted from its first one; also the names of its arrays. */
    ALPHA = 0,
    BETA,
    CONVOLUTION,
    WEIGHTS,
    IMAGES,
    OUT
};

typedef cudnnBackendDescriptor_t descriptor;

/* ---- descriptors ---- */

typedef struct maker {
    const bs_cuda_dnn *dnn;
    bs_cuda_plan *plan;
    cudnnStatus_t code; /* of the first call that failed; then nothing happens any more */
} maker;

static descriptor create(maker *m, int kind)
{
    descriptor d = NULL;
    if (!m->code)
        m->code = m->dnn->driver->cudnnBackendCreateDescriptor(kind, &d);
    return d;
}

static void destroy(const maker *m, descriptor d)
{
    if (d)
        m->dnn->driver->cudnnBackendDestroyDescriptor(d);
}

static void keep(maker *m, descriptor d)
{
    BS_ASSERT(m->plan->n_parts < BS_CUDA_PLAN_PARTS);
    m->plan->part[m->plan->n_parts++] = d;
}

static void set(maker *m, descriptor d, int attribute, int type, int64_t n, const void *values)
{
    if (!m->code)
        m->code = m->dnn->driver->cudnnBackendSetAttribute(d, attribute, type, n, values);
}

static void set_part(maker *m, descriptor d, int attribute, descriptor part)
{
    set(m, d, attribute, BS_CUDNN_OF_DESCRIPTOR, 1, &part);
}

/* Reads up to `room` values, and returns how many there are; 0 after a failure. */
static int64_t get(maker *m, descriptor d, int attribute, int type, int64_t room, void *values)
{
    int64_t n = 0;
    if (!m->code)
        m->code = m->dnn->driver->cudnnBackendGetAttribute(d, attribute, type, room, &n, values);
    return m->code ? 0 : n;
}

static void finish(maker *m, descriptor d)
{
    if (!m->code)
        m->code = m->dnn->driver->cudnnBackendFinalize(d);
}

/* ---- the operation ---- */

/* cuDNN counts dimensions as (N, C, H, W), in whatever order they lie. */
static descriptor tensor(maker *m, int64_t id, const int64_t dim[4], int64_t alignment)
{
    const int type = BS_CUDNN_FLOAT;
    const int64_t dims[] = {dim[0], dim[3], dim[1], dim[2]};
    const int64_t strides[] = {dim[1] * dim[2] * dim[3], 1, dim[2] * dim[3], dim[3]};
    const descriptor d = create(m, BS_CUDNN_TENSOR);
    keep(m, d);
    set(m, d, BS_CUDNN_TENSOR_TYPE, BS_CUDNN_OF_DATA_TYPE, 1, &type);
    set(m, d, BS_CUDNN_TENSOR_DIMENSIONS, BS_CUDNN_OF_INT64, 4, dims);
    set(m, d, BS_CUDNN_TENSOR_STRIDES, BS_CUDNN_OF_INT64, 4, strides);
    set(m, d, BS_CUDNN_TENSOR_ID, BS_CUDNN_OF_INT64, 1, &id);
    set(m, d, BS_CUDNN_TENSOR_ALIGNMENT, BS_CUDNN_OF_INT64, 1, &alignment);
    finish(m, d);
    return d;
}

static descriptor convolution(maker *m, const bs_cuda_convolution *what)
{
    const int type = BS_CUDNN_FLOAT, mode = BS_CUDNN_CROSS_CORRELATION;
    const int64_t dimensions = 2, ones[] = {1, 1}, padding[] = {what->padding, what->padding};
    const descriptor d = create(m, BS_CUDNN_CONVOLUTION);
    keep(m, d);
    set(m, d, BS_CUDNN_CONVOLUTION_TYPE, BS_CUDNN_OF_DATA_TYPE, 1, &type);
    set(m, d, BS_CUDNN_CONVOLUTION_MODE, BS_CUDNN_OF_CONVOLUTION_MODE, 1, &mode);
    set(m, d, BS_CUDNN_CONVOLUTION_DIMENSIONS, BS_CUDNN_OF_INT64, 1, &dimensions);
    set(m, d, BS_CUDNN_CONVOLUTION_DILATIONS, BS_CUDNN_OF_INT64, 2, ones);
    set(m, d, BS_CUDNN_CONVOLUTION_STRIDES, BS_CUDNN_OF_INT64, 2, what->stride);
    set(m, d, BS_CUDNN_CONVOLUTION_PRE_PADDINGS, BS_CUDNN_OF_INT64, 2, padding);
    set(m, d, BS_CUDNN_CONVOLUTION_POST_PADDINGS, BS_CUDNN_OF_INT64, 2, padding);
    finish(m, d);
    return d;
}

static descriptor operation(maker *m, const bs_cuda_convolution *what)
{
    const int first = what->kind == BS_CUDNN_FORWARD         ? BS_CUDNN_FORWARD_ALPHA
                      : what->kind == BS_CUDNN_BACKWARD_DATA ? BS_CUDNN_BACKWARD_DATA_ALPHA
                                                             : BS_CUDNN_BACKWARD_FILTER_ALPHA;
    const float alpha = 1, beta = what->kind == BS_CUDNN_BACKWARD_DATA;
    const descriptor d = create(m, (int)what->kind);
    keep(m, d);
    set(m, d, first + ALPHA, BS_CUDNN_OF_FLOAT, 1, &alpha);
    set(m, d, first + BETA, BS_CUDNN_OF_FLOAT, 1, &beta);
    set_part(m, d, first + CONVOLUTION, convolution(m, what));
    set_part(m, d, first + WEIGHTS, tensor(m, WEIGHTS, what->weights, what->alignment));
    set_part(m, d, first + IMAGES, tensor(m, IMAGES, what->images, what->alignment));
    set_part(m, d, first + OUT, tensor(m, OUT, what->out, what->alignment));
    finish(m, d);
    return d;
}

static descriptor graph(maker *m, const bs_cuda_convolution *what)
{
    const descriptor only = operation(m, what), d = create(m, BS_CUDNN_GRAPH);
    keep(m, d);
    set_part(m, d, BS_CUDNN_GRAPH_OPERATIONS, only);
    if (!m->dnn->device)
        set(m, d, BS_CUDNN_GRAPH_HANDLE, BS_CUDNN_OF_HANDLE, 1, &m->dnn->handle);
    finish(m, d);
    return d;
}

/* ---- the choice ---- */

/* Whether an engine does what the handler promises. Notes are about lower precision, other
 * formulas (Winograd, FFT) and sums in any order; one is a promise. */
static int is_exact(maker *m, descriptor config)
{
    int note[MAX_NOTES];
    descriptor engine = create(m, BS_CUDNN_ENGINE);
    get(m, config, BS_CUDNN_CONFIG_ENGINE, BS_CUDNN_OF_DESCRIPTOR, 1, &engine);
    const int64_t n = get(m, engine, BS_CUDNN_ENGINE_NUMERICAL_NOTES, BS_CUDNN_OF_NUMERICAL_NOTE,
                          MAX_NOTES, note);
    int exact = !m->code && n <= MAX_NOTES;
    for (int64_t i = 0; i < n && exact; i++)
        exact = note[i] == BS_CUDNN_NOTE_STRICT_NAN ||
                (note[i] == BS_CUDNN_NOTE_TENSOR_CORE && m->dnn->tf32);
    destroy(m, engine);
    return exact;
}

/* Whether the configuration has become the plan. */
static int try_config(maker *m, descriptor config)
{
    descriptor d = NULL;
    int64_t workspace = 0;
    if (is_exact(m, config)) {
        d = create(m, BS_CUDNN_PLAN);
        set_part(m, d, BS_CUDNN_PLAN_CONFIG, config);
        if (m->dnn->device)
            set_part(m, d, BS_CUDNN_PLAN_DEVICE, m->dnn->device);
        else
            set(m, d, BS_CUDNN_PLAN_HANDLE, BS_CUDNN_OF_HANDLE, 1, &m->dnn->handle);
        finish(m, d);
        get(m, d, BS_CUDNN_PLAN_WORKSPACE, BS_CUDNN_OF_INT64, 1, &workspace);
    }
    if (!d || m->code || workspace > LARGEST_WORKSPACE) {
        destroy(m, d);
        m->code = 0; /* another one may do */
        return 0;
    }
    keep(m, d);
    m->plan->execution = d;
    m->plan->workspace = workspace;
    return 1;
}

/* Takes the first of cuDNN's proposals that will do. */
static void choose(maker *m, descriptor operations, int mode)
{
    const descriptor heuristics = create(m, BS_CUDNN_HEURISTICS);
    set_part(m, heuristics, BS_CUDNN_HEURISTICS_GRAPH, operations);
    set(m, heuristics, BS_CUDNN_HEURISTICS_MODE, BS_CUDNN_OF_HEURISTICS_MODE, 1, &mode);
    if (m->dnn->device)
        set_part(m, heuristics, BS_CUDNN_HEURISTICS_DEVICE, m->dnn->device);
    finish(m, heuristics);
    const int64_t room = get(m, heuristics, BS_CUDNN_HEURISTICS_RESULTS, BS_CUDNN_OF_DESCRIPTOR, 0,
                             NULL);
    descriptor *config = room > 0 ? bs_alloc((size_t)room * sizeof *config) : NULL;
    if (config) {
        for (int64_t i = 0; i < room; i++)
            config[i] = create(m, BS_CUDNN_CONFIG);
        const int64_t n = get(m, heuristics, BS_CUDNN_HEURISTICS_RESULTS, BS_CUDNN_OF_DESCRIPTOR,
                              room, config);
        for (int64_t i = 0; i < n && !m->plan->execution; i++)
            if (try_config(m, config[i])) {
                keep(m, config[i]);
                config[i] = NULL;
            }
        for (int64_t i = 0; i < room; i++)
            destroy(m, config[i]);
        bs_free(config);
    }
    destroy(m, heuristics);
    m->code = 0; /* another mode may do */
}

void bs_cuda_plan_make(const bs_cuda_dnn *dnn, bs_cuda_plan *plan)
{
    maker m = {.dnn = dnn, .plan = plan};
    const descriptor operations = graph(&m, &plan->what);
    if (!m.code)
        choose(&m, operations, BS_CUDNN_MODE_A);
    if (!m.code && !plan->execution)
        choose(&m, operations, BS_CUDNN_MODE_FALLBACK);
}

void bs_cuda_plan_close(const bs_cuda_dnn *dnn, bs_cuda_plan *plan)
{
    const maker m = {.dnn = dnn};
    while (plan->n_parts > 0)
        destroy(&m, plan->part[--plan->n_parts]);
}

/* ---- execution ---- */

cudnnStatus_t bs_cuda_plan_execute(const bs_cuda_dnn *dnn, const bs_cuda_execution *execution)
{
    maker m = {.dnn = dnn};
    const int64_t ids[] = {IMAGES, WEIGHTS, OUT};
    void *const pointers[] = {execution->images, execution->weights, execution->out};
    const descriptor pack = create(&m, BS_CUDNN_PACK);
    set(&m, pack, BS_CUDNN_PACK_IDS, BS_CUDNN_OF_INT64, 3, ids);
    set(&m, pack, BS_CUDNN_PACK_POINTERS, BS_CUDNN_OF_POINTER, 3, pointers);
    set(&m, pack, BS_CUDNN_PACK_WORKSPACE, BS_CUDNN_OF_POINTER, 1, &execution->workspace);
    finish(&m, pack);
    if (!m.code)
        m.code = dnn->driver->cudnnBackendExecute(dnn->handle, execution->plan->execution, pack);
    destroy(&m, pack);
    return m.code;
}
