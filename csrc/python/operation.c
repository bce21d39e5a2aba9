/* operation.c - the operations as methods of Handler: one per row of ops.def.
 *
 * The GIL is released around operations on arrays that are large enough to be worth it. */
#include "python/convert.h"
#include "python/handler.h"

enum { RELEASE_GIL_FROM = 1 << 13 }; /* elements of all arrays together */

typedef struct operation_call {
    const bs_op_info *op;
    PyObject *given[BS_MAX_ARGS]; /* borrowed; NULL: not given */
    bs_argument arguments[BS_MAX_ARGS];
    bs_value values[BS_MAX_ARGS];
} operation_call;

static int find_argument(const operation_call *c, PyObject *name)
{
    for (int arg = 0; arg < c->op->n_args; arg++)
        if (PyUnicode_CompareWithASCIIString(name, c->op->args[arg].name) == 0)
            return arg;
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", c->op->name,
                 name);
    return -1;
}

/* Sorts positional and keyword arguments into c->given. */
static int sort_arguments(operation_call *c, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    const bs_op_info *op = c->op;
    const Py_ssize_t n_names = names ? PyTuple_GET_SIZE(names) : 0;
    if (n > op->n_args) {
        PyErr_Format(PyExc_TypeError, "%s() takes %d arguments but %zd were given", op->name,
                     op->n_args, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        c->given[i] = args[i];
    for (Py_ssize_t i = 0; i < n_names; i++) {
        const int arg = find_argument(c, PyTuple_GET_ITEM(names, i));
        if (arg < 0)
            return -1;
        if (c->given[arg]) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", op->name,
                         op->args[arg].name);
            return -1;
        }
        c->given[arg] = args[n + i];
    }
    for (int arg = 0; arg < op->n_args; arg++)
        if (!c->given[arg] && op->args[arg].kind != BS_ARG_FLAG) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", op->name,
                         op->args[arg].name);
            return -1;
        }
    return 0;
}

static int to_int(PyObject *value, int64_t *out)
{
    PyObject *number = PyNumber_Index(value);
    if (!number)
        return -1;
    *out = PyLong_AsLongLong(number);
    Py_DECREF(number);
    if (*out == -1 && PyErr_Occurred())
        return -1;
    if (*out != (int)*out) {
        PyErr_SetString(PyExc_OverflowError, "the number is too large");
        return -1;
    }
    return 0;
}

static int to_pair(PyObject *value, int64_t out[2])
{
    PyObject *pair = PySequence_Fast(value, "expected a pair of integers");
    int status = -1;
    if (!pair)
        return -1;
    if (PySequence_Fast_GET_SIZE(pair) != 2)
        PyErr_Format(PyExc_ValueError, "expected a pair of integers, not %R", value);
    else if (to_int(PySequence_Fast_GET_ITEM(pair, 0), &out[0]) == 0)
        status = to_int(PySequence_Fast_GET_ITEM(pair, 1), &out[1]);
    Py_DECREF(pair);
    return status;
}

static int to_activation(PyObject *value, int64_t *out)
{
    for (int i = 0; i < BS_N_ACTIVATIONS; i++)
        if (PyUnicode_Check(value) &&
            PyUnicode_CompareWithASCIIString(value, bs_activation_names[i]) == 0) {
            *out = i;
            return 0;
        }
    PyErr_Format(PyExc_ValueError, "unknown activation %R", value);
    return -1;
}

static int to_axis(PyObject *value, int64_t *out)
{
    *out = BS_ALL_AXES;
    if (value == Py_None)
        return 0;
    if (to_int(value, out) < 0)
        return -1;
    if (*out < 0) {
        PyErr_Format(PyExc_ValueError, "expected None, 0 or 1, not %R", value);
        return -1;
    }
    return 0;
}

static int to_number(PyObject *value, double *out)
{
    *out = PyFloat_AsDouble(value);
    return *out == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static int to_flag(PyObject *value, int64_t *out)
{
    *out = value ? PyObject_IsTrue(value) : 0;
    return *out < 0 ? -1 : 0;
}

static int convert_plain(PyObject *given, bs_arg_kind kind, bs_value *out)
{
    switch (kind) {
    case BS_ARG_IN:
    case BS_ARG_OUT:
    case BS_ARG_INOUT: break;
    case BS_ARG_NUMBER: return to_number(given, &out->number);
    case BS_ARG_INT: return to_int(given, &out->integer);
    case BS_ARG_FLAG: return to_flag(given, &out->integer);
    case BS_ARG_AXIS: return to_axis(given, &out->integer);
    case BS_ARG_PAIR: return to_pair(given, out->pair);
    case BS_ARG_ACTIVATION: return to_activation(given, &out->integer);
    }
    return -1;
}

/* Puts operation and argument in front of the exception that is set. */
static void name_argument(const bs_op_info *op, const bs_arg_info *arg)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyErr_Format(type, "%s: '%s': %S", op->name, arg->name, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static int convert_value(operation_call *c, int k, bs_device *device)
{
    const bs_arg_info *arg = &c->op->args[k];
    if (arg->may_be_missing && c->given[k] == Py_None)
        return 0; /* all zero, which is left out */
    if (bs_arg_is_array(arg))
        return bs_argument_open(&c->arguments[k], &c->values[k].array, c->given[k], device,
                                arg->kind, c->op->name, arg->name);
    const int status = convert_plain(c->given[k], arg->kind, &c->values[k]);
    if (status < 0)
        name_argument(c->op, arg);
    return status;
}

static int check_hidden_overlaps(const operation_call *c)
{
    for (int out = 0; out < c->op->n_args; out++)
        for (int arg = 0; arg < c->op->n_args && bs_arg_is_array(&c->op->args[out]); arg++) {
            if (arg == out || !bs_arg_is_array(&c->op->args[arg]) ||
                c->op->args[out].kind == BS_ARG_IN)
                continue;
            const int overlap = bs_argument_hidden_overlap(&c->arguments[out], &c->arguments[arg]);
            if (overlap > 0)
                PyErr_Format(PyExc_ValueError, "%s: '%s' partly overlaps '%s'", c->op->name,
                             c->op->args[out].name, c->op->args[arg].name);
            if (overlap)
                return -1;
        }
    return 0;
}

static int64_t total_elements(const operation_call *c)
{
    int64_t n = 0;
    for (int arg = 0; arg < c->op->n_args; arg++)
        if (bs_arg_is_array(&c->op->args[arg]))
            n += bs_count(&c->values[arg].array);
    return n;
}

/* Runs the operation with the lock held; moves the handle's error out. */
static void run_locked(handler_object *h, const operation_call *c, bs_error *err)
{
    const int flushed = bs_flush_subnormals(1);
    c->op->call(&h->handle, c->values);
    bs_flush_subnormals(flushed);
    bs_handler_finish(&h->handle);
    *err = h->handle.error;
    h->handle.error.code = BS_OK;
    bs_scratch_release(&h->handle, (bs_mark){0});
}

static int run_operation(handler_object *h, operation_call *c)
{
    bs_error err = {0};
    if (bs_op_check(c->op, c->values, &err) != BS_OK)
        return bs_raise(&err), -1;
    if (check_hidden_overlaps(c) < 0)
        return -1;
    bs_handler_lock(h);
    if (total_elements(c) >= RELEASE_GIL_FROM) {
        Py_BEGIN_ALLOW_THREADS
        run_locked(h, c, &err);
        Py_END_ALLOW_THREADS
    } else {
        run_locked(h, c, &err);
    }
    bs_handler_unlock(h);
    if (err.code != BS_OK)
        return bs_raise(&err), -1;
    for (int arg = 0; arg < c->op->n_args; arg++)
        if (bs_arg_is_array(&c->op->args[arg]) && bs_argument_write_back(&c->arguments[arg]) < 0)
            return -1;
    return 0;
}

static PyObject *call_operation(PyObject *self, bs_op_id id, PyObject *const *args, Py_ssize_t n,
                                PyObject *names)
{
    handler_object *h = bs_handler_opened(self);
    operation_call c = {.op = &bs_op_infos[id]};
    int status = h ? sort_arguments(&c, args, n, names) : -1;
    for (int arg = 0; arg < c.op->n_args && status == 0; arg++)
        status = convert_value(&c, arg, h->device);
    if (status == 0)
        status = run_operation(h, &c);
    for (int arg = 0; arg < c.op->n_args; arg++)
        bs_argument_close(&c.arguments[arg]);
    if (status < 0)
        return NULL;
    Py_RETURN_NONE;
}

#define BS_OP(name, need, rule, signature, arguments, formula)                                     \
    static PyObject *method_##name(PyObject *self, PyObject *const *args, Py_ssize_t n,            \
                                   PyObject *names)                                                \
    {                                                                                              \
        return call_operation(self, BS_OP_##name, args, n, names);                                 \
    }
#include "handlers/ops.def"

static PyObject *is_fully_finite(PyObject *self, PyObject *args, PyObject *named)
{
    static char *names[] = {"a", NULL};
    PyObject *value;
    if (!PyArg_ParseTupleAndKeywords(args, named, "O:is_fully_finite", names, &value))
        return NULL;
    handler_object *h = bs_handler_opened(self);
    bs_argument argument = {0};
    bs_array a;
    int finite = -1;
    if (h &&
        bs_argument_open(&argument, &a, value, h->device, BS_ARG_IN, "is_fully_finite", "a") == 0) {
        bs_handler_lock(h);
        Py_BEGIN_ALLOW_THREADS
        finite = h->device->is_fully_finite(&h->handle, &a);
        Py_END_ALLOW_THREADS
        if (h->handle.error.code != BS_OK) {
            bs_raise(&h->handle.error);
            h->handle.error.code = BS_OK;
            finite = -1;
        }
        bs_handler_unlock(h);
    }
    bs_argument_close(&argument);
    return finite < 0 ? NULL : PyBool_FromLong(finite);
}

/* Docstrings begin with the arguments as inspect.signature() reads them. */
#define IN(arg)       ", " #arg
#define OUT(arg)      ", " #arg
#define INOUT(arg)    ", " #arg
#define IN_IF(arg)    ", " #arg
#define INOUT_IF(arg) ", " #arg
#define NUM(arg)      ", " #arg
#define INT(arg)      ", " #arg
#define FLAG(arg)     ", " #arg "=False"
#define AXIS(arg)     ", " #arg
#define PAIR(arg)     ", " #arg
#define ACT(arg)      ", " #arg

PyMethodDef bs_operation_methods[] = {
#define BS_OP(name, need, rule, signature, arguments, formula)                                     \
    {#name, (PyCFunction)(void (*)(void))method_##name, METH_FASTCALL | METH_KEYWORDS,             \
     #name "($self" arguments ")\n--\n\n" formula},
#include "handlers/ops.def"
    {"is_fully_finite", (PyCFunction)(void (*)(void))is_fully_finite, METH_VARARGS | METH_KEYWORDS,
     "is_fully_finite($self, a)\n--\n\nWhether there is no NaN and no infinity in the array."},
    {NULL, NULL, 0, NULL},
};
