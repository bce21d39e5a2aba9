/* module.c - the module _core: functions about the machine, the list of operations, and the types
 * of the other files. */
#define BS_NUMPY_HERE
#include "python/numpy_api.h"

#include <stdarg.h>
#include <string.h>

bs_core bs_the_core;

int bs_module_add(PyObject *module, const char *name, PyObject *value)
{
    const int status = value ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return status;
}

int bs_parse_item(PyObject *item, const char *format, ...)
{
    va_list targets;
    int good = PyTuple_Check(item);
    if (!good) {
        PyErr_Format(PyExc_TypeError, "%s, got %R", strchr(format, ';') + 1, item);
        return 0;
    }
    va_start(targets, format);
    good = PyArg_VaParse(item, format, targets);
    va_end(targets);
    return good;
}

/* ---- the machine ---- */

static PyObject *set_num_threads(PyObject *module, PyObject *value)
{
    bs_error err = {0};
    int overflow;
    PyObject *number = PyNumber_Index(value);
    if (!number)
        return NULL;
    const long n = PyLong_AsLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    (void)module;
    if (bs_set_num_threads(overflow || n > BS_MAX_THREADS || n < 0 ? 0 : (int)n, &err) == BS_OK)
        Py_RETURN_NONE;
    PyErr_Format(PyExc_ValueError, "the number of threads is %R, expected 1 to %d", value,
                 BS_MAX_THREADS);
    return NULL;
}

static PyObject *num_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(bs_num_threads());
}

/* What a handler says about a key, split at blanks or at the ends of lines, as a tuple of str. NULL
 * is an empty one. */
static PyObject *several(const char *text, int are_lines)
{
    PyObject *string = PyUnicode_FromString(text ? text : ""),
             *list = !string     ? NULL
                     : are_lines ? PyUnicode_Splitlines(string, 0)
                                 : PyUnicode_Split(string, NULL, -1);
    PyObject *out = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(string);
    Py_XDECREF(list);
    return out;
}

static PyObject *handler_names(void)
{
    PyObject *list = PyList_New(0), *out;
    for (int i = 0; list && bs_handler_names[i]; i++) {
        PyObject *name = PyUnicode_FromString(bs_handler_names[i]);
        if (!name || PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    out = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return out;
}

static PyObject *info(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return Py_BuildValue("{s:i,s:z,s:N,s:z,s:N}", "threads", bs_num_threads(), "instruction_set",
                         bs_handler_info("cpu", "instruction_set"), "instruction_sets",
                         several(bs_handler_info("cpu", "instruction_sets"), 0), "blas",
                         bs_handler_info("cpu", "blas"), "handlers", handler_names());
}

static PyObject *gpus(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return several(bs_handler_info("cuda", "devices"), 1);
}

/* ---- for tests ---- */

static PyObject *fail_allocation(PyObject *module, PyObject *value)
{
    const long long n = PyLong_AsLongLong(value);
    (void)module;
    if (n == -1 && PyErr_Occurred())
        return NULL;
    bs_alloc_fail_at(n);
    Py_RETURN_NONE;
}

static PyObject *allocation_count(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(bs_alloc_count());
}

static PyObject *live_allocation_count(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(bs_alloc_live());
}

/* ---- operations ---- */

static const char *const kind_names[] = {
    [BS_ARG_IN] = "in",         [BS_ARG_OUT] = "out",   [BS_ARG_INOUT] = "inout",
    [BS_ARG_NUMBER] = "number", [BS_ARG_INT] = "int",   [BS_ARG_FLAG] = "flag",
    [BS_ARG_AXIS] = "axis",     [BS_ARG_PAIR] = "pair", [BS_ARG_ACTIVATION] = "activation"};

static PyObject *describe_operation(const bs_op_info *op)
{
    PyObject *args = PyTuple_New(op->n_args);
    for (int i = 0; args && i < op->n_args; i++) {
        const bs_arg_info *arg = &op->args[i];
        PyObject *pair = Py_BuildValue(
            "(sN)", arg->name,
            PyUnicode_FromFormat("%s%s", kind_names[arg->kind], arg->may_be_missing ? "_if" : ""));
        if (!pair)
            Py_CLEAR(args);
        else
            PyTuple_SET_ITEM(args, i, pair);
    }
    return args ? Py_BuildValue("{s:s,s:s,s:O,s:N}", "name", op->name, "formula", op->formula,
                                "required", op->required ? Py_True : Py_False, "args", args)
                : NULL;
}

static PyObject *describe_operations(void)
{
    PyObject *out = PyTuple_New(bs_n_ops);
    for (int i = 0; out && i < bs_n_ops; i++) {
        PyObject *operation = describe_operation(&bs_op_infos[i]);
        if (!operation)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, i, operation);
    }
    return out;
}

/* ---- the module ---- */

static PyMethodDef functions[] = {
    {"set_num_threads", set_num_threads, METH_O,
     "Use n threads (1 to 256). Results do not depend on it."},
    {"num_threads", num_threads, METH_NOARGS, "Threads in use."},
    {"info", info, METH_NOARGS,
     "Facts about this machine: threads, instruction_set(s), blas, handlers."},
    {"gpus", gpus, METH_NOARGS,
     "Names of the GPUs, as far as NVIDIA's libraries are there, which it opens."},
    {"fail_allocation", fail_allocation, METH_O,
     "For tests: the n-th allocation from now on fails; 0: none."},
    {"allocation_count", allocation_count, METH_NOARGS, "For tests: allocations so far."},
    {"live_allocation_count", live_allocation_count, METH_NOARGS,
     "For tests: allocations that are not freed."},
    {NULL, NULL, 0, NULL},
};

static int find_numpy(void)
{
    PyObject *numpy = PyImport_ImportModule("numpy");
    if (!numpy)
        return -1;
    bs_the_core.float32 = PyObject_GetAttrString(numpy, "float32");
    bs_the_core.float64 = PyObject_GetAttrString(numpy, "float64");
    bs_the_core.shares_memory = PyObject_GetAttrString(numpy, "shares_memory");
    Py_DECREF(numpy);
    return bs_the_core.float32 && bs_the_core.float64 && bs_the_core.shares_memory ? 0 : -1;
}

static int fill_module(PyObject *module)
{
    static int filled;
    if (filled) {
        PyErr_SetString(PyExc_ImportError, "brainstorm._core can be loaded once per process only");
        return -1;
    }
    if (PyArray_ImportNumPyAPI() < 0 || find_numpy() < 0 || bs_errors_add(module) < 0)
        return -1;
    if (bs_stream_type_add(module) < 0 || bs_handler_type_add(module) < 0 ||
        bs_gpu_array_type_add(module) < 0 || bs_host_add(module) < 0 ||
        bs_debug_handler_type_add(module) < 0 ||
        bs_module_add(module, "operations", describe_operations()) < 0)
        return -1;
    if (bs_layer_types_add(module) < 0 || bs_lone_layer_type_add(module) < 0 ||
        bs_create_layout_add(module) < 0 || bs_buffers_type_add(module) < 0 ||
        bs_network_type_add(module) < 0 || bs_stepper_type_add(module) < 0)
        return -1;
    filled = 1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill_module},
    {0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_core",
                                 .m_doc = "The engine of brainstorm.", .m_methods = functions,
                                 .m_slots = slots};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
