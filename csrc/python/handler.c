/* handler.c - Handler: an opened device with a handle, and one method per row of ops.def.
 *
 * A lock guards the handle, so threads may share one Handler object. The GIL is released around
 * operations on arrays that are large enough to be worth it. */
#include "python/convert.h"

#include <string.h>

typedef struct handler_object {
    PyObject_HEAD bs_device *device; /* owned; NULL before __init__ */
    bs_handler handle;
    PyObject *stream; /* RandomStream; owned */
    PyThread_type_lock lock;
} handler_object;

enum { RELEASE_GIL_FROM = 1 << 13 }; /* elements of all arrays together */

static handler_object *opened(PyObject *self)
{
    handler_object *h = (handler_object *)self;
    if (h->device)
        return h;
    PyErr_SetString(PyExc_RuntimeError, "Handler.__init__ has not been called");
    return NULL;
}

int bs_is_handler(PyObject *value)
{
    return PyObject_TypeCheck(value, bs_the_core.handler_type);
}

bs_device *bs_handler_device(PyObject *handler)
{
    if (!bs_is_handler(handler)) {
        PyErr_Format(PyExc_TypeError, "expected a Handler, not %.100s", Py_TYPE(handler)->tp_name);
        return NULL;
    }
    const handler_object *h = opened(handler);
    return h ? h->device : NULL;
}

/* ---- life ---- */

static int handler_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "dtype", "stream", NULL};
    handler_object *h = (handler_object *)self;
    const char *name;
    PyObject *dtype_object, *stream_object;
    bs_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sOO:Handler", names, &name, &dtype_object,
                                     &stream_object))
        return -1;
    const int dtype = bs_dtype_of(dtype_object);
    bs_stream *stream = dtype < 0 ? NULL : bs_stream_of(stream_object);
    if (!stream)
        return -1;
    if (h->device) {
        PyErr_SetString(PyExc_RuntimeError, "this Handler is open already");
        return -1;
    }
    if (!h->lock && !(h->lock = PyThread_allocate_lock())) {
        PyErr_NoMemory();
        return -1;
    }
    if (bs_device_open(&h->device, name, (bs_dtype)dtype, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    bs_handler_init(&h->handle, h->device, stream);
    h->stream = Py_NewRef(stream_object);
    return 0;
}

static void handler_dealloc(PyObject *self)
{
    handler_object *h = (handler_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    bs_handler_close(&h->handle);
    bs_device_release(h->device);
    Py_CLEAR(h->stream);
    if (h->lock)
        PyThread_free_lock(h->lock);
    type->tp_free(self);
    Py_DECREF(type);
}

static void take_lock(handler_object *h)
{
    if (PyThread_acquire_lock(h->lock, NOWAIT_LOCK))
        return;
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(h->lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
}

/* ---- an operation ---- */

typedef struct operation_call {
    const bs_op_info *op;
    PyObject *given[BS_MAX_ARGS]; /* borrowed; NULL: not given */
    bs_argument arguments[BS_MAX_ARGS];
    bs_value values[BS_MAX_ARGS];
} operation_call;

static int is_array(const operation_call *c, int arg)
{
    return c->op->args[arg].kind <= BS_ARG_INOUT;
}

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
        PyErr_Format(PyExc_ValueError, "axis is %R, expected None, 0 or 1", value);
        return -1;
    }
    return 0;
}

static int convert_value(operation_call *c, int arg, bs_dtype dtype)
{
    PyObject *given = c->given[arg];
    bs_value *value = &c->values[arg];
    switch (c->op->args[arg].kind) {
    case BS_ARG_IN:
    case BS_ARG_OUT:
    case BS_ARG_INOUT:
        return bs_argument_open(&c->arguments[arg], &value->array, given, dtype,
                                c->op->args[arg].kind, c->op->name, c->op->args[arg].name);
    case BS_ARG_NUMBER:
        value->number = PyFloat_AsDouble(given);
        return value->number == -1.0 && PyErr_Occurred() ? -1 : 0;
    case BS_ARG_INT: return to_int(given, &value->integer);
    case BS_ARG_FLAG:
        value->integer = given ? PyObject_IsTrue(given) : 0;
        return value->integer < 0 ? -1 : 0;
    case BS_ARG_AXIS: return to_axis(given, &value->integer);
    case BS_ARG_PAIR: return to_pair(given, value->pair);
    case BS_ARG_ACTIVATION: return to_activation(given, &value->integer);
    }
    return -1;
}

static int check_hidden_overlaps(const operation_call *c)
{
    for (int out = 0; out < c->op->n_args; out++)
        for (int arg = 0; arg < c->op->n_args && is_array(c, out); arg++) {
            if (arg == out || !is_array(c, arg) || c->op->args[out].kind == BS_ARG_IN)
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
        if (is_array(c, arg))
            n += bs_count(&c->values[arg].array);
    return n;
}

/* Runs the operation with the lock held; moves the handle's error out. */
static void run_locked(handler_object *h, const operation_call *c, bs_error *err)
{
    c->op->call(&h->handle, c->values);
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
    take_lock(h);
    if (total_elements(c) >= RELEASE_GIL_FROM) {
        Py_BEGIN_ALLOW_THREADS
        run_locked(h, c, &err);
        Py_END_ALLOW_THREADS
    } else {
        run_locked(h, c, &err);
    }
    PyThread_release_lock(h->lock);
    if (err.code != BS_OK) {
        bs_error_prefix(&err, "%s", c->op->name);
        return bs_raise(&err), -1;
    }
    for (int arg = 0; arg < c->op->n_args; arg++)
        if (is_array(c, arg) && bs_argument_write_back(&c->arguments[arg]) < 0)
            return -1;
    return 0;
}

static PyObject *call_operation(PyObject *self, bs_op_id id, PyObject *const *args, Py_ssize_t n,
                                PyObject *names)
{
    handler_object *h = opened(self);
    operation_call c = {.op = &bs_op_infos[id]};
    int status = h ? sort_arguments(&c, args, n, names) : -1;
    for (int arg = 0; arg < c.op->n_args && status == 0; arg++)
        status = convert_value(&c, arg, h->device->dtype);
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

static PyObject *is_fully_finite(PyObject *self, PyObject *value)
{
    handler_object *h = opened(self);
    bs_argument argument = {0};
    bs_array a;
    int finite = -1;
    if (h && bs_argument_open(&argument, &a, value, h->device->dtype, BS_ARG_IN, "is_fully_finite",
                              "a") == 0) {
        take_lock(h);
        Py_BEGIN_ALLOW_THREADS
        finite = h->device->is_fully_finite(&h->handle, &a);
        Py_END_ALLOW_THREADS
        PyThread_release_lock(h->lock);
    }
    bs_argument_close(&argument);
    return finite < 0 ? NULL : PyBool_FromLong(finite);
}

/* ---- attributes ---- */

static PyObject *get_name(PyObject *self, void *unused)
{
    const handler_object *h = opened(self);
    (void)unused;
    return h ? PyUnicode_FromString(h->device->type->name) : NULL;
}

static PyObject *get_dtype(PyObject *self, void *unused)
{
    const handler_object *h = opened(self);
    (void)unused;
    return h ? Py_NewRef(h->device->dtype == BS_F64 ? bs_the_core.float64 : bs_the_core.float32)
             : NULL;
}

static PyObject *get_stream(PyObject *self, void *unused)
{
    const handler_object *h = opened(self);
    (void)unused;
    return h ? Py_NewRef(h->stream) : NULL;
}

static int set_stream(PyObject *self, PyObject *value, void *unused)
{
    handler_object *h = opened(self);
    (void)unused;
    if (h && !value)
        PyErr_SetString(PyExc_AttributeError, "stream cannot be deleted");
    bs_stream *stream = h && value ? bs_stream_of(value) : NULL;
    if (!stream)
        return -1;
    take_lock(h);
    h->handle.stream = stream;
    PyObject *before = h->stream;
    h->stream = Py_NewRef(value);
    PyThread_release_lock(h->lock);
    Py_DECREF(before);
    return 0;
}

static PyMethodDef methods[] = {
#define BS_OP(name, need, rule, signature, arguments, formula)                                     \
    {#name, (PyCFunction)(void (*)(void))method_##name, METH_FASTCALL | METH_KEYWORDS, formula},
#include "handlers/ops.def"
    {"is_fully_finite", is_fully_finite, METH_O,
     "Whether there is no NaN and no infinity in the array."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"name", get_name, NULL, "Its name in the list of handlers.", NULL},
    {"dtype", get_dtype, NULL, "numpy.float32 or numpy.float64.", NULL},
    {"stream", get_stream, set_stream, "The RandomStream that random operations draw from.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Handler(name, dtype, stream)\n--\n\nAn opened handler, with one method per operation."},
    {Py_tp_init, handler_init},
    {Py_tp_dealloc, handler_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {.name = "brainstorm._core.Handler",
                           .basicsize = sizeof(handler_object),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                           .slots = slots};

int bs_handler_type_add(PyObject *module)
{
    bs_the_core.handler_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return bs_the_core.handler_type ? PyModule_AddType(module, bs_the_core.handler_type) : -1;
}
