/* settings.c - translates arguments of layers and shapes, in both directions. */
#include "python/settings.h"

#include <string.h>

/* ---- shapes ---- */

static int is_letter(PyObject *item, const char *letter)
{
    return PyUnicode_Check(item) && PyUnicode_CompareWithASCIIString(item, letter) == 0;
}

int bs_shape_from_python(bs_shape *out, PyObject *shape, const char *what)
{
    PyObject *items = PySequence_Fast(shape, "");
    int result = -1;
    Py_ssize_t n, at = 0;
    *out = (bs_shape){.scale = BS_FIXED};
    if (!items || PyUnicode_Check(shape))
        goto bad;
    n = PySequence_Fast_GET_SIZE(items);
    PyObject **item = PySequence_Fast_ITEMS(items);
    if (n >= 2 && is_letter(item[0], "T") && is_letter(item[1], "B"))
        out->scale = BS_TIME, at = 2;
    else if (n >= 1 && is_letter(item[0], "B"))
        out->scale = BS_BATCH, at = 1;
    if (n - at > BS_MAX_NDIM)
        goto bad;
    for (; at < n; at++) {
        PyObject *index = PyBool_Check(item[at]) ? NULL : PyNumber_Index(item[at]);
        const long long size = index ? PyLong_AsLongLong(index) : 0;
        Py_XDECREF(index);
        if (size <= 0)
            goto bad;
        out->dim[out->ndim++] = size;
    }
    result = out->ndim ? 0 : -1;
bad:
    Py_XDECREF(items);
    if (result < 0) {
        PyErr_Clear();
        PyErr_Format(bs_layer_error(),
                     "%s must be a shape like ('T', 'B', 10) with positive sizes, got %R", what,
                     shape);
    }
    return result;
}

PyObject *bs_shape_to_python(const bs_shape *shape)
{
    const int head = (int)shape->scale;
    PyObject *out = PyTuple_New(head + shape->ndim);
    for (int i = 0; out && i < head + shape->ndim; i++) {
        PyObject *item = i >= head ? PyLong_FromLongLong(shape->dim[i - head])
                                   : PyUnicode_FromString(i == 0 && head == 2 ? "T" : "B");
        if (!item)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, i, item);
    }
    return out;
}

PyObject *bs_spec_to_python(const bs_shape *shape)
{
    return Py_BuildValue("(NiN)", bs_shape_to_python(shape), shape->context,
                         PyBool_FromLong(shape->backward_only));
}

PyObject *bs_specs_to_python(const bs_buffers_declared *list)
{
    PyObject *out = PyDict_New();
    for (int i = 0; out && i < list->n; i++) {
        PyObject *spec = bs_spec_to_python(&list->buffer[i].shape);
        if (!spec || PyDict_SetItemString(out, list->buffer[i].name, spec) < 0)
            Py_CLEAR(out);
        Py_XDECREF(spec);
    }
    return out;
}

int bs_spec_from_python(bs_shape *out, PyObject *spec, const char *what)
{
    PyObject *shape;
    int context, backward_only;
    if (!PyTuple_Check(spec) || !PyArg_ParseTuple(spec, "Oip", &shape, &context, &backward_only)) {
        PyErr_Format(PyExc_TypeError, "%s must be (shape, context_size, is_backward_only), got %R",
                     what, spec);
        return -1;
    }
    if (bs_shape_from_python(out, shape, what) < 0)
        return -1;
    if (context < 0 || context > 1 || (context && out->scale != BS_TIME)) {
        PyErr_Format(bs_layer_error(),
                     "%s: context_size must be 0 or, for ('T', 'B', ...), 1, got %d", what,
                     context);
        return -1;
    }
    out->context = context;
    out->backward_only = backward_only;
    return 0;
}

/* ---- settings ---- */

static int set_sizes(bs_setting *s, PyObject *value)
{
    PyObject *items = PySequence_Fast(value, "");
    if (!items)
        return -1;
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    s->kind = n > BS_MAX_NDIM ? BS_POINTER : BS_SIZES; /* BS_POINTER: a kind that no option takes */
    for (Py_ssize_t i = 0; i < n && s->kind == BS_SIZES; i++) {
        PyObject *item = PySequence_Fast_ITEMS(items)[i];
        PyObject *index = PyBool_Check(item) ? NULL : PyNumber_Index(item);
        s->sizes[s->n++] = index ? PyLong_AsLongLong(index) : -1;
        if (!index || PyErr_Occurred())
            s->kind = BS_POINTER;
        Py_XDECREF(index);
        PyErr_Clear();
    }
    Py_DECREF(items);
    return 0;
}

/* The items of a dict as a list that lives as long as the settings, so that they may borrow from it
 * whatever Python code does to the dict. Borrowed. */
static PyObject *kept_items(bs_settings *out, PyObject *dict)
{
    PyObject *items = PyDict_Items(dict);
    const int status = items ? PyList_Append(out->kept, items) : -1;
    Py_XDECREF(items);
    return status < 0 ? NULL : items;
}

static void *room(bs_settings *out, Py_ssize_t n, size_t size)
{
    void *memory = bs_arena_alloc(&out->arena, (size_t)(n + 1) * size);
    if (!memory)
        PyErr_SetString(PyExc_MemoryError, "no memory for the arguments of a layer");
    return memory;
}

/* Lets messages show the value as Python does. */
static int set_shown(bs_settings *out, bs_setting *s, PyObject *value)
{
    PyObject *shown = PyObject_Repr(value);
    const int status = shown ? PyList_Append(out->kept, shown) : -1;
    Py_XDECREF(shown);
    s->shown = status < 0 ? NULL : PyUnicode_AsUTF8(shown);
    return s->shown ? 0 : -1;
}

static int set_shapes(bs_settings *out, bs_setting *s, const char *layer, PyObject *value)
{
    PyObject *items = kept_items(out, value);
    const Py_ssize_t n = items ? PyList_GET_SIZE(items) : 0;
    bs_named_shape *shapes = items ? room(out, n, sizeof *shapes) : NULL;
    if (!shapes)
        return -1;
    s->kind = BS_SHAPES;
    s->shapes = shapes;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 0);
        PyObject *shape = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1);
        char what[200];
        const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
        if (!text || !PyUnicode_IsIdentifier(name)) {
            PyErr_Format(bs_layer_error(), "layer '%s': %s: names must be identifiers, got %R",
                         layer, s->name, name);
            return -1;
        }
        snprintf(what, sizeof what, "layer '%s': %s['%s']", layer, s->name, text);
        shapes[s->n].name = text;
        if (bs_shape_from_python(&shapes[s->n++].shape, shape, what) < 0)
            return -1;
    }
    return 0;
}

static int set_value(bs_settings *out, bs_setting *s, const char *layer, PyObject *value)
{
    if (value == Py_None) {
        s->kind = BS_NONE;
    } else if (PyUnicode_Check(value)) {
        s->text = PyUnicode_AsUTF8(value);
        s->kind = s->text ? BS_TEXT : BS_POINTER;
        PyErr_Clear(); /* halves of surrogate pairs are no text: no option takes them */
    } else if (PyDict_Check(value)) {
        return set_shapes(out, s, layer, value);
    } else if (PyList_Check(value) || PyTuple_Check(value)) {
        return set_sizes(s, value);
    } else if (PyBool_Check(value) || !PyNumber_Check(value)) {
        s->kind = BS_POINTER;
    } else {
        s->kind = BS_NUMBER;
        s->is_integer = PyIndex_Check(value);
        s->number = PyFloat_AsDouble(value);
        if (PyErr_Occurred()) {
            PyErr_Clear();
            s->kind = BS_POINTER;
        }
    }
    return 0;
}

int bs_settings_from_kwargs(bs_settings *out, const char *layer, PyObject *kwargs)
{
    *out = (bs_settings){.kept = PyList_New(0)};
    if (!out->kept)
        return -1;
    if (!PyDict_Check(kwargs)) {
        PyErr_Format(PyExc_TypeError, "layer '%s': arguments must be a dict, got %R", layer,
                     kwargs);
        return -1;
    }
    PyObject *items = kept_items(out, kwargs);
    const Py_ssize_t n = items ? PyList_GET_SIZE(items) : 0;
    out->setting = items ? room(out, n, sizeof *out->setting) : NULL;
    if (!out->setting)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 0);
        PyObject *value = PyTuple_GET_ITEM(PyList_GET_ITEM(items, i), 1);
        bs_setting *s = &out->setting[out->n++];
        s->name = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
        if (!s->name) {
            PyErr_Format(PyExc_TypeError, "layer '%s': names of arguments must be strings, got %R",
                         layer, name);
            return -1;
        }
        if (set_value(out, s, layer, value) < 0 || set_shown(out, s, value) < 0)
            return -1;
    }
    return 0;
}

void bs_settings_close(bs_settings *settings)
{
    Py_CLEAR(settings->kept);
    bs_arena_close(&settings->arena);
}

static PyObject *default_value(const bs_option *o, PyObject *required)
{
    char *rest;
    if (!o->standard)
        return Py_NewRef(required);
    if (strcmp(o->standard, "none") == 0)
        Py_RETURN_NONE;
    switch (o->kind) {
    case BS_OPT_INT:
    case BS_OPT_PADDING: return PyLong_FromString(o->standard, NULL, 10);
    case BS_OPT_NUMBER: return PyFloat_FromDouble(strtod(o->standard, NULL));
    case BS_OPT_PAIR: {
        const long long first = strtoll(o->standard, &rest, 10);
        return Py_BuildValue("(LL)", first, strtoll(rest, NULL, 10));
    }
    default: return PyUnicode_FromString(o->standard);
    }
}

PyObject *bs_settings_defaults(const bs_layer_type *type, PyObject *required)
{
    PyObject *out = PyDict_New();
    for (const bs_option *o = type->options; out && o && o->name; o++) {
        PyObject *value = default_value(o, required);
        if (!value || PyDict_SetItemString(out, o->name, value) < 0)
            Py_CLEAR(out);
        Py_XDECREF(value);
    }
    return out;
}
