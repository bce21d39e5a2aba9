/* debug.c - see debug.h. During a call the handle is one of the inner device: scratch comes from
 * there, and what a fusion does inside is not looked at. */
#include "handlers/debug.h"

#include <math.h>
#include <stdio.h>

#include "handlers/op_info.h"

typedef struct debug {
    bs_device *inner; /* retained */
    bs_handler_type type;
} debug;

static bs_device *inner_of(const bs_device *device)
{
    return ((const debug *)device->impl)->inner;
}

/* ---- arrays and numbers ---- */

/* What is wrong with a view, or NULL. */
static const char *fault_of(const bs_array *a)
{
    if (a->ndim < 0 || a->ndim > BS_MAX_NDIM || a->lead < 0 || a->lead > a->ndim)
        return "has a wrong number of dimensions";
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] < 0)
            return "has a negative size";
    if (bs_rows(a) > 1 && a->pitch < bs_cols(a))
        return "has rows that overlap each other";
    if (!a->data && bs_count(a) > 0)
        return "has no memory";
    return NULL;
}

static const char *dtype_name(int dtype)
{
    return dtype == BS_F64 ? "float64" : "float32";
}

static bs_status check_array(const bs_op_info *op, const bs_arg_info *arg, const bs_array *a,
                             bs_dtype dtype, bs_error *err)
{
    if (bs_arg_is_left_out(arg, a))
        return BS_OK;
    const char *fault = fault_of(a);
    if (fault)
        return bs_fail(err, BS_VALUE, "%s: '%s' %s", op->name, arg->name, fault);
    if (a->dtype != (int8_t)dtype)
        return bs_fail(err, BS_TYPE, "%s: '%s' has dtype %s, expected %s", op->name, arg->name,
                       dtype_name(a->dtype), dtype_name(dtype));
    return BS_OK;
}

static bs_status check_arguments(const bs_op_info *op, const bs_value *values, bs_dtype dtype,
                                 bs_error *err)
{
    for (int k = 0; k < op->n_args; k++) {
        const bs_arg_info *arg = &op->args[k];
        const int64_t i = values[k].integer;
        if (bs_arg_is_array(arg))
            BS_TRY(check_array(op, arg, &values[k].array, dtype, err));
        /* infinities are bounds of clip_t; elsewhere the output shows them */
        if (arg->kind == BS_ARG_NUMBER && isnan(values[k].number))
            return bs_fail(err, BS_VALUE, "%s: '%s' is NaN", op->name, arg->name);
        if ((arg->kind == BS_ARG_FLAG && i != 0 && i != 1) ||
            (arg->kind == BS_ARG_ACTIVATION && (i < 0 || i >= BS_N_ACTIVATIONS)))
            return bs_fail(err, BS_VALUE, "%s: '%s' is %lld, which has no meaning", op->name,
                           arg->name, (long long)i);
    }
    return BS_OK;
}

/* ---- finiteness ---- */

/* The first number of a packed host copy that is not finite, and where it stands. */
static double first_bad(const bs_array *a, const void *host, int64_t place[BS_MAX_NDIM])
{
    double value = 0;
    int64_t i = -1;
    do {
        i++;
        value = a->dtype == BS_F64 ? ((const double *)host)[i] : (double)((const float *)host)[i];
    } while (isfinite(value) && i + 1 < bs_count(a));
    for (int d = a->ndim - 1; d >= 0; d--) {
        place[d] = i % a->dim[d];
        i /= a->dim[d];
    }
    return value;
}

static const char *text_of(double bad)
{
    if (isnan(bad))
        return "NaN";
    return bad > 0 ? "inf" : "-inf";
}

/* `when` is "before" or "after". */
static bs_status check_finite(bs_handler *h, const bs_op_info *op, const bs_arg_info *arg,
                              const bs_array *a, const char *when)
{
    int64_t place[BS_MAX_NDIM] = {0};
    char where[96];
    if (!a->data || bs_count(a) == 0 || h->device->is_fully_finite(h, a))
        return BS_OK;
    void *host = bs_alloc((size_t)bs_count(a) * bs_dtype_size(a->dtype));
    if (!host)
        return bs_fail(&h->error, BS_NO_MEMORY, "%s: no memory to search '%s'", op->name,
                       arg->name);
    if (h->device->read(h->device, a, host, &h->error) == BS_OK) {
        const double value = first_bad(a, host, place);
        bs_dims_text(where, sizeof where, a->ndim, place);
        bs_fail(&h->error, BS_VALUE, "%s: '%s' holds %s at %s %s the operation", op->name,
                arg->name, text_of(value), where, when);
    }
    bs_free(host);
    return h->error.code;
}

enum { IN = 1 << BS_ARG_IN, OUT = 1 << BS_ARG_OUT, INOUT = 1 << BS_ARG_INOUT };

static bs_status check_all_finite(bs_handler *h, const bs_op_info *op, const bs_value *values,
                                  int kinds, const char *when)
{
    for (int k = 0; k < op->n_args; k++)
        if (1 << op->args[k].kind & kinds)
            BS_TRY(check_finite(h, op, &op->args[k], &values[k].array, when));
    return BS_OK;
}

static bs_status run_checked(bs_handler *h, const bs_op_info *op, const bs_value *values)
{
    BS_TRY(check_arguments(op, values, h->dtype, &h->error));
    BS_TRY(bs_op_check(op, values, &h->error));
    BS_TRY(check_all_finite(h, op, values, IN | INOUT, "before"));
    op->call(h, values);
    bs_handler_finish(h);
    BS_TRY(h->error.code);
    BS_TRY(check_all_finite(h, op, values, OUT | INOUT, "after"));
    return check_all_finite(h, op, values, IN, "after");
}

/* ---- the table ---- */

/* Makes the handle one of the inner device, until `leave`. */
static bs_device *enter(bs_handler *h)
{
    bs_device *device = h->device;
    h->device = inner_of(device);
    h->ops = &h->device->ops;
    return device;
}

static void leave(bs_handler *h, bs_device *device)
{
    h->device = device;
    h->ops = &device->ops;
}

static void run(bs_handler *h, bs_op_id id, const bs_operands *operands)
{
    const bs_op_info *op = &bs_op_infos[id];
    bs_value values[BS_MAX_ARGS];
    bs_device *device = enter(h);
    bs_values_of(values, op, operands);
    run_checked(h, op, values);
    leave(h, device);
}

#define ENTRY(op, parameters, ...)                                                                 \
    static void debug_##op parameters                                                              \
    {                                                                                              \
        run(h, BS_OP_##op, &(bs_operands){__VA_ARGS__});                                           \
    }
#define ENTRY_AA(op)  ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b), .array = {a, b})
#define ENTRY_AAA(op) ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c), .array = {a, b, c})
#define ENTRY_AAAA(op)                                                                             \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d), .array = {a, b, c, d})
#define ENTRY_AS(op) ENTRY(op, (bs_handler * h, bs_a_ a, double s), .array = {a}, .number = {s})
#define ENTRY_ASA(op)                                                                              \
    ENTRY(op, (bs_handler * h, bs_a_ a, double s, bs_a_ b), .array = {a, b}, .number = {s})
#define ENTRY_ASSA(op)                                                                             \
    ENTRY(op, (bs_handler * h, bs_a_ a, double s, double t, bs_a_ b), .array = {a, b},             \
          .number = {s, t})
#define ENTRY_SAA(op)                                                                              \
    ENTRY(op, (bs_handler * h, double s, bs_a_ a, bs_a_ b), .array = {a, b}, .number = {s})
#define ENTRY_SAAA(op)                                                                             \
    ENTRY(op, (bs_handler * h, double s, bs_a_ a, bs_a_ b, bs_a_ c), .array = {a, b, c},           \
          .number = {s})
#define ENTRY_SSA(op)                                                                              \
    ENTRY(op, (bs_handler * h, double s, double t, bs_a_ a), .array = {a}, .number = {s, t})
#define ENTRY_SSAAA(op)                                                                            \
    ENTRY(op, (bs_handler * h, double s, double t, bs_a_ a, bs_a_ b, bs_a_ c), .array = {a, b, c}, \
          .number = {s, t})
#define ENTRY_SSA5II(op)                                                                           \
    ENTRY(op,                                                                                      \
          (bs_handler * h, double s, double t, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, int i, \
           int j),                                                                                 \
          .array = {a, b, c, d, e}, .number = {s, t}, .integer = {i, j})
#define ENTRY_AIA(op)                                                                              \
    ENTRY(op, (bs_handler * h, bs_a_ a, int i, bs_a_ b), .array = {a, b}, .integer = {i})
#define ENTRY_AAAII(op)                                                                            \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, int i, int j), .array = {a, b, c},       \
          .integer = {i, j})
#define ENTRY_AAAAI(op)                                                                            \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, int i), .array = {a, b, c, d},  \
          .integer = {i})
#define ENTRY_AAW(op)                                                                              \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, const bs_window *w), .array = {a, b}, .window = *w)
#define ENTRY_AAAW(op)                                                                             \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, const bs_window *w), .array = {a, b, c}, \
          .window = *w)
#define ENTRY_AAAAW(op)                                                                            \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, const bs_window *w),            \
          .array = {a, b, c, d}, .window = *w)
#define ENTRY_AAAAAW(op)                                                                           \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, const bs_window *w),   \
          .array = {a, b, c, d, e}, .window = *w)
#define ENTRY_AAAAAAW(op)                                                                          \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f,                   \
           const bs_window *w),                                                                    \
          .array = {a, b, c, d, e, f}, .window = *w)
#define ENTRY_A4IW(op)                                                                             \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, int i, const bs_window *w),     \
          .array = {a, b, c, d}, .integer = {i}, .window = *w)
#define ENTRY_A7IW(op)                                                                             \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g, int i,   \
           const bs_window *w),                                                                    \
          .array = {a, b, c, d, e, f, g}, .integer = {i}, .window = *w)
#define ENTRY_S3A4(op)                                                                             \
    ENTRY(op, (bs_handler * h, double s, double t, double u, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d),  \
          .array = {a, b, c, d}, .number = {s, t, u})
#define ENTRY_S4A4(op)                                                                             \
    ENTRY(op,                                                                                      \
          (bs_handler * h, double s, double t, double u, double v, bs_a_ a, bs_a_ b, bs_a_ c,      \
           bs_a_ d),                                                                               \
          .array = {a, b, c, d}, .number = {s, t, u, v})
#define ENTRY_S6A4(op)                                                                             \
    ENTRY(op,                                                                                      \
          (bs_handler * h, double s, double t, double u, double v, double w, double x, bs_a_ a,    \
           bs_a_ b, bs_a_ c, bs_a_ d),                                                             \
          .array = {a, b, c, d}, .number = {s, t, u, v, w, x})
#define ENTRY_A5I(op)                                                                              \
    ENTRY(op, (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, int i),                \
          .array = {a, b, c, d, e}, .integer = {i})
#define ENTRY_A7I(op)                                                                              \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g, int i),  \
          .array = {a, b, c, d, e, f, g}, .integer = {i})
#define ENTRY_A9I(op)                                                                              \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g, bs_a_ k, \
           bs_a_ l, int i),                                                                        \
          .array = {a, b, c, d, e, f, g, k, l}, .integer = {i})
#define ENTRY_A10I(op)                                                                             \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g, bs_a_ k, \
           bs_a_ l, bs_a_ m, int i),                                                               \
          .array = {a, b, c, d, e, f, g, k, l, m}, .integer = {i})
#define ENTRY_A11I(op)                                                                             \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g, bs_a_ k, \
           bs_a_ l, bs_a_ m, bs_a_ n, int i),                                                      \
          .array = {a, b, c, d, e, f, g, k, l, m, n}, .integer = {i})
#define ENTRY_A12I(op)                                                                             \
    ENTRY(op,                                                                                      \
          (bs_handler * h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g, bs_a_ k, \
           bs_a_ l, bs_a_ m, bs_a_ n, bs_a_ o, int i),                                             \
          .array = {a, b, c, d, e, f, g, k, l, m, n, o}, .integer = {i})

#define BS_OP(op, need, rule, signature, arguments, formula) ENTRY_##signature(op)
#include "handlers/ops.def"

static const bs_ops entries = {
#define BS_OP(op, need, rule, signature, arguments, formula) .op = debug_##op,
#include "handlers/ops.def"
};

/* ---- the device ---- */

static bs_block *allocate(bs_device *device, size_t bytes, bs_error *err)
{
    bs_device *inner = inner_of(device);
    return inner->allocate(inner, bytes, err);
}

static bs_status write_array(bs_device *device, const bs_array *array, const void *host,
                             bs_error *err)
{
    bs_device *inner = inner_of(device);
    return inner->write(inner, array, host, err);
}

static bs_status read_array(bs_device *device, const bs_array *array, void *host, bs_error *err)
{
    bs_device *inner = inner_of(device);
    return inner->read(inner, array, host, err);
}

static int is_fully_finite(bs_handler *h, const bs_array *a)
{
    bs_device *device = enter(h);
    const int finite = h->device->is_fully_finite(h, a);
    leave(h, device);
    return finite;
}

static void *stage(bs_handler *h, size_t bytes)
{
    bs_device *device = enter(h);
    void *host = h->device->stage(h, bytes);
    leave(h, device);
    return host;
}

static void upload(bs_handler *h, const bs_array *to)
{
    bs_device *device = enter(h);
    h->device->upload(h, to);
    leave(h, device);
}

static void close_handle(bs_handler *h)
{
    bs_device *inner = inner_of(h->device);
    if (inner->close_handle)
        inner->close_handle(h);
}

static void close_debug(bs_device *device)
{
    bs_device_release(inner_of(device));
    bs_free(device->impl);
}

bs_status bs_debug_open(bs_device **out, bs_device *inner, bs_error *err)
{
    *out = NULL;
    if (inner->type->close == close_debug)
        return bs_fail(err, BS_TYPE, "a DebugHandler cannot wrap another one");
    bs_device *device = bs_alloc(sizeof *device);
    debug *impl = device ? bs_alloc(sizeof *impl) : NULL;
    if (!impl) {
        bs_free(device);
        return bs_fail(err, BS_NO_MEMORY, "no memory for handler 'debug'");
    }
    *impl = (debug){
        .inner = bs_device_retain(inner),
        .type = {.name = "debug", .host_memory = inner->type->host_memory, .close = close_debug}};
    *device = (bs_device){.ops = entries,
                          .type = &impl->type,
                          .dtype = inner->dtype,
                          .references = 1,
                          .impl = impl,
                          .options = inner->options,
                          .memory = inner,
                          .allocate = allocate,
                          .write = write_array,
                          .read = read_array,
                          .is_fully_finite = is_fully_finite,
                          .stage = stage,
                          .upload = upload,
                          .close_handle = close_handle};
    *out = device;
    return BS_OK;
}
