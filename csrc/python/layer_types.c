/* layer_types.c - _core.layer_types: what each built-in layer takes, as data. */
#include "python/settings.h"

static PyObject *ports(const bs_layer_type *type)
{
    PyObject *list = PyList_New(0), *out;
    for (const bs_port *p = type->inputs; list && p && p->name; p++) {
        PyObject *pair = Py_BuildValue("(ss)", p->name, p->pattern);
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    out = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return out;
}

int bs_layer_types_add(PyObject *module)
{
    PyObject *required = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    PyObject *types = required ? PyDict_New() : NULL;
    for (int i = 0; types && bs_layer_types[i]; i++) {
        PyObject *type = Py_BuildValue("{s:N,s:N}", "inputs", ports(bs_layer_types[i]), "options",
                                       bs_settings_defaults(bs_layer_types[i], required));
        if (!type || PyDict_SetItemString(types, bs_layer_types[i]->name, type) < 0)
            Py_CLEAR(types);
        Py_XDECREF(type);
    }
    return bs_module_add(module, "required", required) < 0 ||
                   bs_module_add(module, "layer_types", types) < 0
               ? -1
               : 0;
}
