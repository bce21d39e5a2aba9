/* cudnn.c - cuDNN, as far as we call it: plans for convolutions of packed float32 images in the
 * order (N, H, W, C). Its engines are alike but for their notes, what tensor cores round, and their
 * need of a workspace. */
#include "double.h"

#include <stdlib.h>
#include <string.h>

enum {
    BAD_PARAM = 2000,
    NOT_FINALIZED = 2004,
    NOT_SUPPORTED = 3000,
    /* of an operation, from its first attribute on */
    ALPHA = 0,
    BETA,
    CONVOLUTION,
    WEIGHTS,
    IMAGES,
    OUT
};

/* ---- engines ---- */

/* What is proposed, in this order. */
static const struct {
    int mode, n_notes, note[2], is_refused; /* is_refused: no plan can be made of it */
    int64_t workspace;                      /* bytes for each number of the output */
} engines[] = {
    [DOUBLE_TENSOR_CORE] = {BS_CUDNN_MODE_A, 1, {BS_CUDNN_NOTE_TENSOR_CORE}, 0, 0},
    [DOUBLE_NONDETERMINISTIC] = {BS_CUDNN_MODE_A, 1, {4}, 0, 0},
    [DOUBLE_WINOGRAD] = {BS_CUDNN_MODE_A, 2, {5, BS_CUDNN_NOTE_STRICT_NAN}, 0, 0},
    [DOUBLE_REFUSED] = {BS_CUDNN_MODE_A, 0, {0}, 1, 0},
    [DOUBLE_HUNGRY] = {BS_CUDNN_MODE_A, 0, {0}, 0, (int64_t)1 << 40},
    [DOUBLE_PLAIN] = {BS_CUDNN_MODE_A, 0, {0}, 0, 0},
    [DOUBLE_WORKING] = {BS_CUDNN_MODE_FALLBACK, 1, {BS_CUDNN_NOTE_STRICT_NAN}, 0, 64},
};
enum { N_ENGINES = sizeof engines / sizeof engines[0] };

static unsigned offered = ~0u;
static long executions[N_ENGINES];

void double_offer_engines(unsigned mask)
{
    offered = mask;
}

long double_convolutions(int engine)
{
    return executions[engine];
}

/* ---- descriptors ---- */

typedef struct attribute {
    int name, type;
    int64_t n;
    void *values;
    struct attribute *next;
} attribute;

typedef struct descriptor {
    int kind, is_final, engine; /* engine: of a configuration, an engine and a plan */
    attribute *attributes;
} descriptor;

struct cudnnContext {
    CUstream stream;
};

static size_t size_of(int type)
{
    switch (type) {
    case BS_CUDNN_OF_INT64: return sizeof(int64_t);
    case BS_CUDNN_OF_FLOAT: return sizeof(float);
    case BS_CUDNN_OF_HANDLE:
    case BS_CUDNN_OF_POINTER:
    case BS_CUDNN_OF_DESCRIPTOR: return sizeof(void *);
    default: return sizeof(int); /* an enum */
    }
}

static int create(int kind, cudnnBackendDescriptor_t *out)
{
    descriptor *d = calloc(1, sizeof *d);
    d->kind = kind;
    count_object(1);
    *out = d;
    return 0;
}

static int destroy(descriptor *d)
{
    while (d->attributes) {
        attribute *a = d->attributes;
        d->attributes = a->next;
        free(a->values);
        free(a);
    }
    free(d);
    count_object(-1);
    return 0;
}

static int set(descriptor *d, int name, int type, int64_t n, const void *values)
{
    attribute *a;
    if (!d || d->is_final || n < 1 || !values)
        return report(BAD_PARAM, "attribute %d of a descriptor", name);
    a = malloc(sizeof *a);
    *a = (attribute){name, type, n, malloc((size_t)n * size_of(type)), d->attributes};
    memcpy(a->values, values, (size_t)n * size_of(type));
    d->attributes = a;
    return 0;
}

/* The n values of an attribute; NULL after a report. */
static void *values_of(const descriptor *d, int name, int type, int64_t n)
{
    for (const attribute *a = d->attributes; a; a = a->next)
        if (a->name == name && a->type == type && a->n == n)
            return a->values;
    report(BAD_PARAM, "a descriptor of kind %d lacks attribute %d", d->kind, name);
    return NULL;
}

/* A finished part; NULL after a report. */
static descriptor *part_of(const descriptor *d, int name, int kind)
{
    descriptor *const *part = values_of(d, name, BS_CUDNN_OF_DESCRIPTOR, 1);
    if (part && *part && (*part)->is_final && (*part)->kind == kind)
        return *part;
    report(NOT_FINALIZED, "attribute %d is no finished descriptor of kind %d", name, kind);
    return NULL;
}

static int has_int(const descriptor *d, int name, int type, int wanted)
{
    const int *value = values_of(d, name, type, 1);
    return value && *value == wanted;
}

/* ---- what a descriptor must have ---- */

static const int64_t *numbers_of(const descriptor *d, int name, int64_t n)
{
    return values_of(d, name, BS_CUDNN_OF_INT64, n);
}

static int is_tensor(const descriptor *d)
{
    const int64_t *dim = numbers_of(d, BS_CUDNN_TENSOR_DIMENSIONS, 4),
                  *stride = numbers_of(d, BS_CUDNN_TENSOR_STRIDES, 4),
                  *alignment = numbers_of(d, BS_CUDNN_TENSOR_ALIGNMENT, 1);
    return dim && stride && alignment && numbers_of(d, BS_CUDNN_TENSOR_ID, 1) &&
           has_int(d, BS_CUDNN_TENSOR_TYPE, BS_CUDNN_OF_DATA_TYPE, BS_CUDNN_FLOAT) && dim[0] > 0 &&
           dim[1] > 0 && dim[2] > 0 && dim[3] > 0 && stride[1] == 1 && stride[3] == dim[1] &&
           stride[2] == dim[3] * stride[3] && stride[0] == dim[2] * stride[2] &&
           (*alignment == 4 || *alignment == 16);
}

static int is_convolution(const descriptor *d)
{
    const int64_t *dimensions = numbers_of(d, BS_CUDNN_CONVOLUTION_DIMENSIONS, 1),
                  *dilation = numbers_of(d, BS_CUDNN_CONVOLUTION_DILATIONS, 2),
                  *stride = numbers_of(d, BS_CUDNN_CONVOLUTION_STRIDES, 2),
                  *before = numbers_of(d, BS_CUDNN_CONVOLUTION_PRE_PADDINGS, 2),
                  *behind = numbers_of(d, BS_CUDNN_CONVOLUTION_POST_PADDINGS, 2);
    return dimensions && dilation && stride && before && behind && *dimensions == 2 &&
           dilation[0] == 1 && dilation[1] == 1 && stride[0] > 0 && stride[1] > 0 &&
           memcmp(before, behind, 2 * sizeof *before) == 0 &&
           has_int(d, BS_CUDNN_CONVOLUTION_TYPE, BS_CUDNN_OF_DATA_TYPE, BS_CUDNN_FLOAT) &&
           has_int(d, BS_CUDNN_CONVOLUTION_MODE, BS_CUDNN_OF_CONVOLUTION_MODE,
                   BS_CUDNN_CROSS_CORRELATION);
}

/* The first attribute of an operation. */
static int first_of(const descriptor *operation)
{
    return operation->kind == BS_CUDNN_FORWARD         ? BS_CUDNN_FORWARD_ALPHA
           : operation->kind == BS_CUDNN_BACKWARD_DATA ? BS_CUDNN_BACKWARD_DATA_ALPHA
                                                       : BS_CUDNN_BACKWARD_FILTER_ALPHA;
}

/* Dimensions (n, c, h, w) of one of an operation's arrays; NULL after a report. */
static const int64_t *dimensions_of(const descriptor *operation, int which)
{
    const descriptor *t = part_of(operation, first_of(operation) + which, BS_CUDNN_TENSOR);
    return t ? numbers_of(t, BS_CUDNN_TENSOR_DIMENSIONS, 4) : NULL;
}

static int is_operation(const descriptor *d)
{
    const int first = first_of(d);
    const descriptor *how = part_of(d, first + CONVOLUTION, BS_CUDNN_CONVOLUTION);
    const int64_t *w = dimensions_of(d, WEIGHTS), *x = dimensions_of(d, IMAGES),
                  *y = dimensions_of(d, OUT);
    if (!how || !w || !x || !y || !values_of(d, first + ALPHA, BS_CUDNN_OF_FLOAT, 1) ||
        !values_of(d, first + BETA, BS_CUDNN_OF_FLOAT, 1))
        return 0;
    const int64_t *stride = numbers_of(how, BS_CUDNN_CONVOLUTION_STRIDES, 2),
                  *padding = numbers_of(how, BS_CUDNN_CONVOLUTION_PRE_PADDINGS, 2);
    for (int k = 0; k < 2; k++)
        if (y[2 + k] != (x[2 + k] + 2 * padding[k] - w[2 + k]) / stride[k] + 1)
            return 0;
    return x[0] == y[0] && w[0] == y[1] && w[1] == x[1];
}

static descriptor *operation_of(const descriptor *graph)
{
    descriptor *const *d = values_of(graph, BS_CUDNN_GRAPH_OPERATIONS, BS_CUDNN_OF_DESCRIPTOR, 1);
    return d && *d && (*d)->is_final && (*d)->kind >= BS_CUDNN_FORWARD &&
                   (*d)->kind <= BS_CUDNN_BACKWARD_DATA
               ? *d
               : NULL;
}

static int is_heuristics(const descriptor *d)
{
    const int *mode = values_of(d, BS_CUDNN_HEURISTICS_MODE, BS_CUDNN_OF_HEURISTICS_MODE, 1);
    return part_of(d, BS_CUDNN_HEURISTICS_GRAPH, BS_CUDNN_GRAPH) && mode &&
           (*mode == BS_CUDNN_MODE_A || *mode == BS_CUDNN_MODE_FALLBACK);
}

static int is_pack(const descriptor *d)
{
    return numbers_of(d, BS_CUDNN_PACK_IDS, 3) &&
           values_of(d, BS_CUDNN_PACK_POINTERS, BS_CUDNN_OF_POINTER, 3) &&
           values_of(d, BS_CUDNN_PACK_WORKSPACE, BS_CUDNN_OF_POINTER, 1);
}

static int is_complete(const descriptor *d)
{
    switch (d->kind) {
    case BS_CUDNN_TENSOR: return is_tensor(d);
    case BS_CUDNN_CONVOLUTION: return is_convolution(d);
    case BS_CUDNN_FORWARD:
    case BS_CUDNN_BACKWARD_DATA:
    case BS_CUDNN_BACKWARD_FILTER: return is_operation(d);
    case BS_CUDNN_GRAPH:
        return operation_of(d) && values_of(d, BS_CUDNN_GRAPH_HANDLE, BS_CUDNN_OF_HANDLE, 1);
    case BS_CUDNN_HEURISTICS: return is_heuristics(d);
    case BS_CUDNN_PLAN:
        return part_of(d, BS_CUDNN_PLAN_CONFIG, BS_CUDNN_CONFIG) &&
               values_of(d, BS_CUDNN_PLAN_HANDLE, BS_CUDNN_OF_HANDLE, 1);
    case BS_CUDNN_PACK: return is_pack(d);
    default: return 0;
    }
}

static int finalize(descriptor *d)
{
    if (!d || d->is_final || !is_complete(d))
        return report(BAD_PARAM, "a descriptor of kind %d cannot be finished", d ? d->kind : -1);
    if (d->kind == BS_CUDNN_PLAN) {
        d->engine = part_of(d, BS_CUDNN_PLAN_CONFIG, BS_CUDNN_CONFIG)->engine;
        if (engines[d->engine].is_refused)
            return report(NOT_SUPPORTED, "engine %d makes no plan", d->engine);
    }
    d->is_final = 1;
    return 0;
}

/* ---- what can be read ---- */

static descriptor *operation_of_config(const descriptor *config)
{
    return operation_of(part_of(config, BS_CUDNN_HEURISTICS_GRAPH, BS_CUDNN_GRAPH));
}

static int64_t workspace_of(const descriptor *plan)
{
    const descriptor *config = part_of(plan, BS_CUDNN_PLAN_CONFIG, BS_CUDNN_CONFIG);
    const int64_t *y = dimensions_of(operation_of_config(config), OUT);
    return engines[plan->engine].workspace * y[0] * y[1] * y[2] * y[3];
}

/* Configurations remember the graph that they are for. */
static int64_t propose(const descriptor *heuristics, int64_t room, descriptor **config)
{
    const int mode = *(int *)values_of(heuristics, BS_CUDNN_HEURISTICS_MODE,
                                       BS_CUDNN_OF_HEURISTICS_MODE, 1);
    const descriptor *graph = part_of(heuristics, BS_CUDNN_HEURISTICS_GRAPH, BS_CUDNN_GRAPH);
    int64_t n = 0;
    for (int i = 0; i < N_ENGINES; i++) {
        if (engines[i].mode != mode || !(offered >> i & 1))
            continue;
        if (n < room) {
            set(config[n], BS_CUDNN_HEURISTICS_GRAPH, BS_CUDNN_OF_DESCRIPTOR, 1, &graph);
            config[n]->engine = i;
            config[n]->is_final = 1;
        }
        n++;
    }
    return n;
}

static int get(const descriptor *d, int name, int type, int64_t room, int64_t *n, void *out)
{
    if (d->kind == BS_CUDNN_HEURISTICS && d->is_final && name == BS_CUDNN_HEURISTICS_RESULTS &&
        type == BS_CUDNN_OF_DESCRIPTOR) {
        *n = propose(d, room, out);
    } else if (d->kind == BS_CUDNN_CONFIG && d->is_final && name == BS_CUDNN_CONFIG_ENGINE &&
               type == BS_CUDNN_OF_DESCRIPTOR && room == 1) {
        descriptor *engine = *(descriptor **)out;
        engine->engine = d->engine;
        engine->is_final = 1;
        *n = 1;
    } else if (d->kind == BS_CUDNN_ENGINE && d->is_final &&
               name == BS_CUDNN_ENGINE_NUMERICAL_NOTES && type == BS_CUDNN_OF_NUMERICAL_NOTE &&
               room >= engines[d->engine].n_notes) {
        *n = engines[d->engine].n_notes;
        memcpy(out, engines[d->engine].note, (size_t)*n * sizeof(int));
    } else if (d->kind == BS_CUDNN_PLAN && d->is_final && name == BS_CUDNN_PLAN_WORKSPACE &&
               type == BS_CUDNN_OF_INT64 && room == 1) {
        *n = 1;
        *(int64_t *)out = workspace_of(d);
    } else {
        return report(BAD_PARAM, "attribute %d of a descriptor of kind %d", name, d->kind);
    }
    return 0;
}

/* ---- execution ---- */

static double factor(const task *work, float x)
{
    return work->convolution.tf32 ? rounded_to_tf32(x) : x;
}

/* Adds a product of two of the three numbers to the third, in float64. */
static void multiply(const task *work, double *sum, int64_t w, int64_t x, int64_t y)
{
    const float *const weights = work->at[0], *const images = work->at[1], *const out = work->at[2];
    switch (work->convolution.kind) {
    case BS_CUDNN_FORWARD: sum[y] += factor(work, weights[w]) * factor(work, images[x]); break;
    case BS_CUDNN_BACKWARD_DATA: sum[x] += factor(work, weights[w]) * factor(work, out[y]); break;
    default: sum[w] += factor(work, images[x]) * factor(work, out[y]);
    }
}

/* All pairs of a pixel of the output and a place of its window. */
static void walk_windows(const task *work, double *sum)
{
    const int64_t *const w = work->convolution.weights, *const x = work->convolution.images,
                         *const y = work->convolution.out;
    for (int64_t n = 0; n < y[0]; n++)
        for (int64_t place = 0; place < y[2] * y[3] * w[2] * w[3]; place++) {
            const int64_t col = place % w[3], row = place / w[3] % w[2],
                          out_col = place / (w[3] * w[2]) % y[3],
                          out_row = place / (w[3] * w[2] * y[3]),
                          i = out_row * work->convolution.stride[0] + row -
                              work->convolution.padding[0],
                          j = out_col * work->convolution.stride[1] + col -
                              work->convolution.padding[1];
            if (i < 0 || i >= x[2] || j < 0 || j >= x[3])
                continue;
            for (int64_t filter = 0; filter < w[0]; filter++)
                for (int64_t c = 0; c < w[1]; c++)
                    multiply(work, sum, ((filter * w[2] + row) * w[3] + col) * w[1] + c,
                             ((n * x[2] + i) * x[3] + j) * x[1] + c,
                             ((n * y[2] + out_row) * y[3] + out_col) * y[1] + filter);
        }
}

static int64_t count_of(const int64_t dim[4])
{
    return dim[0] * dim[1] * dim[2] * dim[3];
}

static int run_convolution(const task *work)
{
    const int result = work->convolution.kind == BS_CUDNN_FORWARD         ? 2
                       : work->convolution.kind == BS_CUDNN_BACKWARD_DATA ? 1
                                                                          : 0;
    const int64_t *const dim[] = {work->convolution.weights, work->convolution.images,
                                  work->convolution.out};
    const int64_t n = count_of(dim[result]);
    double *sum = calloc((size_t)n, sizeof *sum);
    float *to = work->at[result];
    walk_windows(work, sum);
    if (work->at[3]) /* whoever has something here loses it */
        memset(work->at[3], 0xFF, (size_t)work->convolution.workspace);
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)(work->convolution.alpha * sum[i] +
                        (work->convolution.beta != 0 ? work->convolution.beta * to[i] : 0));
    free(sum);
    return 0;
}

/* The address for the CPU of the array with this place in an operation; NULL after a report. */
static void *array_of(const descriptor *operation, int which, const descriptor *pack)
{
    const descriptor *t = part_of(operation, first_of(operation) + which, BS_CUDNN_TENSOR);
    const int64_t *ids = numbers_of(pack, BS_CUDNN_PACK_IDS, 3),
                  id = *numbers_of(t, BS_CUDNN_TENSOR_ID, 1),
                  alignment = *numbers_of(t, BS_CUDNN_TENSOR_ALIGNMENT, 1),
                  n = count_of(numbers_of(t, BS_CUDNN_TENSOR_DIMENSIONS, 4));
    void *const *pointers = values_of(pack, BS_CUDNN_PACK_POINTERS, BS_CUDNN_OF_POINTER, 3);
    for (int k = 0; k < 3; k++)
        if (ids[k] == id && (uintptr_t)pointers[k] % (size_t)alignment == 0)
            return cpu_address((CUdeviceptr)pointers[k], (size_t)n * sizeof(float),
                               "an array of a convolution");
    report(BAD_PARAM, "no array %d, or not on %d bytes", which, (int)alignment);
    return NULL;
}

static int execute(cudnnHandle_t handle, const descriptor *plan, const descriptor *pack)
{
    if (!handle || !plan || !plan->is_final || plan->kind != BS_CUDNN_PLAN || !pack->is_final)
        return report(BAD_PARAM, "no handle, no plan or no pack");
    const descriptor *operation = operation_of_config(
        part_of(plan, BS_CUDNN_PLAN_CONFIG, BS_CUDNN_CONFIG));
    const int first = first_of(operation);
    const descriptor *how = part_of(operation, first + CONVOLUTION, BS_CUDNN_CONVOLUTION);
    void *const workspace = *(void **)values_of(pack, BS_CUDNN_PACK_WORKSPACE, BS_CUDNN_OF_POINTER,
                                                1);
    task work = {run_convolution, .convolution = {.kind = operation->kind,
                                                  .tf32 = plan->engine == DOUBLE_TENSOR_CORE,
                                                  .workspace = workspace_of(plan)}};
    work.convolution.alpha = *(float *)values_of(operation, first + ALPHA, BS_CUDNN_OF_FLOAT, 1);
    work.convolution.beta = *(float *)values_of(operation, first + BETA, BS_CUDNN_OF_FLOAT, 1);
    memcpy(work.convolution.weights, dimensions_of(operation, WEIGHTS),
           sizeof work.convolution.weights);
    memcpy(work.convolution.images, dimensions_of(operation, IMAGES),
           sizeof work.convolution.images);
    memcpy(work.convolution.out, dimensions_of(operation, OUT), sizeof work.convolution.out);
    memcpy(work.convolution.stride, numbers_of(how, BS_CUDNN_CONVOLUTION_STRIDES, 2),
           sizeof work.convolution.stride);
    memcpy(work.convolution.padding, numbers_of(how, BS_CUDNN_CONVOLUTION_PRE_PADDINGS, 2),
           sizeof work.convolution.padding);
    for (int k = 0; k < 3; k++)
        if (!(work.at[k] = array_of(operation, WEIGHTS + k, pack)))
            return BAD_PARAM;
    if (work.convolution.workspace > 0 &&
        ((uintptr_t)workspace % 256 != 0 ||
         !(work.at[3] = cpu_address((CUdeviceptr)workspace, (size_t)work.convolution.workspace,
                                    "a workspace"))))
        return report(BAD_PARAM, "a workspace at %p", workspace);
    executions[plan->engine]++;
    return submit(handle->stream, &work);
}

/* ---- the functions ---- */

static int create_handle(cudnnHandle_t *out)
{
    *out = calloc(1, sizeof **out);
    count_object(1);
    return 0;
}

static int destroy_handle(cudnnHandle_t handle)
{
    free(handle);
    count_object(-1);
    return 0;
}

static int set_stream(cudnnHandle_t handle, CUstream stream)
{
    handle->stream = stream;
    return 0;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out)
{
    CALL(CONTEXT, create_handle(out));
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    RELEASE(CONTEXT, destroy_handle(handle));
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, CUstream stream)
{
    CALL(NOTHING, set_stream(handle, stream));
}

const char *cudnnGetErrorString(cudnnStatus_t code)
{
    const char *text;
    cuGetErrorString(code, &text);
    return text;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind,
                                           cudnnBackendDescriptor_t *out)
{
    CALL(NOTHING, create(kind, out));
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    RELEASE(NOTHING, destroy(d));
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *values)
{
    CALL(NOTHING, set(d, name, type, n, values));
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *n,
                                       void *values)
{
    CALL(NOTHING, get(d, name, type, room, n, values));
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d)
{
    CALL(NOTHING, finalize(d));
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    CALL(CONTEXT, execute(handle, plan, pack));
}
