/* host.c - set_host: functions of Python that find libraries and keep compiled kernels. */
#include "python/core.h"

static PyObject *find_function, *recall_function, *keep_function; /* owned, never released */

/* The message of the exception that is set, which is cleared. */
static bs_status take_exception(bs_error *err)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    const char *message = text ? PyUnicode_AsUTF8(text) : NULL;
    bs_fail(err, BS_DEVICE, "%s", message ? message : "a library cannot be found");
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Clear();
    return BS_DEVICE;
}

static bs_status find_library(const char *name, char *path, size_t size, bs_error *err)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *found = PyObject_CallFunction(find_function, "s", name);
    const char *text = found ? PyUnicode_AsUTF8(found) : NULL;
    bs_status status = BS_OK;
    if (!text)
        status = take_exception(err);
    else if ((size_t)snprintf(path, size, "%s", text) >= size)
        status = bs_fail(err, BS_DEVICE, "the path of the library %s is too long: %s", name, text);
    Py_XDECREF(found);
    PyGILState_Release(gil);
    return status;
}

static void *recall(const char *key, size_t *size)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *kept = PyObject_CallFunction(recall_function, "s", key);
    void *copy = NULL;
    if (kept && PyBytes_Check(kept) && PyBytes_GET_SIZE(kept) > 0) {
        *size = (size_t)PyBytes_GET_SIZE(kept);
        copy = bs_alloc(*size);
        if (copy)
            memcpy(copy, PyBytes_AS_STRING(kept), *size);
    }
    Py_XDECREF(kept);
    PyErr_Clear(); /* without what was kept, kernels are compiled again */
    PyGILState_Release(gil);
    return copy;
}

static void keep(const char *key, const void *data, size_t size)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = PyObject_CallFunction(keep_function, "sy#", key, (const char *)data,
                                             (Py_ssize_t)size);
    Py_XDECREF(result);
    PyErr_Clear();
    PyGILState_Release(gil);
}

static PyObject *set_host(PyObject *module, PyObject *args)
{
    static const bs_host host = {find_library, recall, keep};
    PyObject *find, *recalls, *keeps;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO:set_host", &find, &recalls, &keeps))
        return NULL;
    Py_XSETREF(find_function, Py_NewRef(find));
    Py_XSETREF(recall_function, Py_NewRef(recalls));
    Py_XSETREF(keep_function, Py_NewRef(keeps));
    bs_host_set(&host);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_host", set_host, METH_VARARGS,
     "set_host(find_library, recall, keep)\n--\n\nWhom the engine asks for libraries and kept "
     "kernels."},
    {NULL, NULL, 0, NULL},
};

int bs_host_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
