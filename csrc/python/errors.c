/* errors.c - the one place where a status becomes an exception. */
#include "python/core.h"

static PyObject *exception_of(bs_status code)
{
    switch (code) {
    case BS_NO_MEMORY: return PyExc_MemoryError;
    case BS_VALUE: return PyExc_ValueError;
    case BS_TYPE: return PyExc_TypeError;
    case BS_INDEX: return PyExc_IndexError;
    case BS_KEY: return PyExc_KeyError;
    case BS_LAYER: return bs_the_core.layer_error;
    case BS_NETWORK: return bs_the_core.network_error;
    case BS_STATE:
    case BS_DEVICE:
    case BS_OK:
    case BS_CALLBACK: break;
    }
    return PyExc_RuntimeError;
}

PyObject *bs_layer_error(void)
{
    return bs_the_core.layer_error;
}

PyObject *bs_network_error(void)
{
    return bs_the_core.network_error;
}

PyObject *bs_raise(const bs_error *err)
{
    if (err->code != BS_CALLBACK || !PyErr_Occurred())
        PyErr_SetString(exception_of(err->code), err->text);
    return NULL;
}

static PyObject *add_exception(PyObject *module, const char *name, const char *qualified,
                               PyObject *base)
{
    PyObject *type = PyErr_NewException(qualified, base, NULL);
    if (!type || PyModule_AddObjectRef(module, name, type) < 0)
        Py_CLEAR(type);
    return type; /* the state keeps this reference */
}

int bs_errors_add(PyObject *module)
{
    bs_core *core = &bs_the_core;
    core->validation_error = add_exception(module, "ValidationError",
                                           "brainstorm.utils.ValidationError", PyExc_ValueError);
    if (!core->validation_error)
        return -1;
    core->network_error = add_exception(module, "NetworkValidationError",
                                        "brainstorm.utils.NetworkValidationError",
                                        core->validation_error);
    core->layer_error = add_exception(module, "LayerValidationError",
                                      "brainstorm.utils.LayerValidationError",
                                      core->validation_error);
    return core->network_error && core->layer_error ? 0 : -1;
}
