/* create_layout.c - the layout of a network from descriptions of layers alone. */
#include <string.h>

#include "python/settings.h"

typedef bs_status add_function(bs_layer *layer, const char *name, bs_shape shape, bs_error *err);

static bs_status add_input(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    char *copy = bs_arena_text(layer->arena, name);
    BS_TRY(bs_check_shape("input", name, &shape, err));
    if (!layer->in.buffer)
        BS_TRY(BS_ARENA_NEW(layer->arena, &layer->in.buffer, BS_MAX_BUFFERS, "ports", err));
    if (!copy)
        return bs_fail(err, BS_NO_MEMORY, "no memory for an input");
    if (layer->in.n == BS_MAX_BUFFERS)
        return bs_fail(err, BS_LAYER, "more than %d inputs", BS_MAX_BUFFERS);
    shape.context = shape.backward_only = 0;
    layer->in.buffer[layer->in.n++] = (bs_buffer){.name = copy, .shape = shape};
    return BS_OK;
}

static bs_status add_parameter(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    if (shape.scale != BS_FIXED)
        return bs_fail(err, BS_LAYER, "parameter '%s' must be of constant size", name);
    return bs_add_parameter(layer, name, shape, 0, err);
}

/* Declares all of a {name: spec}; 0, or -1 with an exception. */
static int declare_all(bs_layer *layer, PyObject *specs, add_function *add)
{
    PyObject *key, *spec;
    Py_ssize_t at = 0;
    while (PyDict_Next(specs, &at, &key, &spec)) {
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;
        char what[300];
        bs_shape shape;
        bs_error err = {0};
        if (!name) {
            PyErr_Format(PyExc_TypeError, "layer '%s': a name must be a string, got %R",
                         layer->name, key);
            return -1;
        }
        snprintf(what, sizeof what, "layer '%s': '%s'", layer->name, name);
        if (bs_spec_from_python(&shape, spec, what) < 0)
            return -1;
        if (add(layer, name, shape, &err) != BS_OK) {
            bs_error_prefix(&err, "layer '%s'", layer->name);
            return bs_raise(&err), -1;
        }
    }
    return 0;
}

static int declare_layer(bs_layer *layer, bs_arena *arena, PyObject *item)
{
    static add_function *const add[] = {add_input, bs_add_output, add_parameter, bs_add_internal};
    PyObject *specs[4];
    const char *name;
    if (!bs_parse_item(item,
                       "sO!O!O!O!;a layer must be (name, inputs, outputs, parameters, internals)",
                       &name, &PyDict_Type, &specs[0], &PyDict_Type, &specs[1], &PyDict_Type,
                       &specs[2], &PyDict_Type, &specs[3]))
        return -1;
    *layer = (bs_layer){.arena = arena, .name = bs_arena_text(arena, name)};
    if (!layer->name)
        return PyErr_NoMemory(), -1;
    for (int i = 0; i < 4; i++)
        if (declare_all(layer, specs[i], add[i]) < 0)
            return -1;
    return 0;
}

static int parse_edge(bs_edge *edge, PyObject *item)
{
    return bs_parse_item(item, "ssss;a connection must be (start, output, end, input)",
                         &edge->start, &edge->output, &edge->end, &edge->input)
               ? 0
               : -1;
}

static PyObject *hubs_to_python(const bs_layout *layout)
{
    PyObject *out = PyList_New(layout->n_hubs);
    for (int i = 0; out && i < layout->n_hubs; i++) {
        const bs_hub *hub = &layout->hub[i];
        PyObject *row = Py_BuildValue(
            "(iOiiiLL)", (int)hub->scale, hub->backward_only ? Py_True : Py_False, hub->context,
            hub->n_sources, hub->rank, (long long)hub->pixels, (long long)hub->columns);
        if (!row)
            Py_CLEAR(out);
        else
            PyList_SET_ITEM(out, i, row);
    }
    return out;
}

static PyObject *leaves_to_python(const bs_layout *layout, const bs_wiring *wiring)
{
    PyObject *out = PyList_New(layout->n_leaves);
    for (int i = 0; out && i < layout->n_leaves; i++) {
        const bs_leaf *leaf = &layout->leaf[i];
        PyObject *row = Py_BuildValue(
            "(zssNiL)", leaf->layer < 0 ? NULL : wiring->layer[leaf->layer].name,
            bs_category_names[leaf->category], leaf->name, bs_spec_to_python(&leaf->shape),
            leaf->hub, (long long)leaf->column);
        if (!row)
            Py_CLEAR(out);
        else
            PyList_SET_ITEM(out, i, row);
    }
    return out;
}

static PyObject *lay_out(PyObject *layers, PyObject *connections, bs_arena *arena)
{
    const int n = (int)PyList_GET_SIZE(layers), n_edges = (int)PyList_GET_SIZE(connections);
    bs_layer *layer;
    bs_edge *edge;
    bs_wiring wiring;
    bs_layout layout;
    bs_error err = {0};
    if (BS_ARENA_NEW(arena, &layer, n, "layers", &err) != BS_OK ||
        BS_ARENA_NEW(arena, &edge, n_edges, "connections", &err) != BS_OK)
        return bs_raise(&err);
    for (int i = 0; i < n; i++)
        if (declare_layer(&layer[i], arena, PyList_GET_ITEM(layers, i)) < 0)
            return NULL;
    for (int i = 0; i < n_edges; i++)
        if (parse_edge(&edge[i], PyList_GET_ITEM(connections, i)) < 0)
            return NULL;
    if (bs_wiring_of_layers(&wiring, arena, n, layer, n_edges, edge, &err) != BS_OK ||
        bs_layout_create(&layout, arena, &wiring, &err) != BS_OK)
        return bs_raise(&err);
    return Py_BuildValue("(NN)", hubs_to_python(&layout), leaves_to_python(&layout, &wiring));
}

static PyObject *create_layout(PyObject *module, PyObject *args)
{
    PyObject *layers, *connections, *out;
    bs_arena arena = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!:create_layout", &PyList_Type, &layers, &PyList_Type,
                          &connections))
        return NULL;
    out = lay_out(layers, connections, &arena);
    bs_arena_close(&arena);
    return out;
}

static PyMethodDef functions[] = {
    {"create_layout", create_layout, METH_VARARGS,
     "create_layout(layers, connections) -> (hubs, leaves)"},
    {NULL, NULL, 0, NULL},
};

int bs_create_layout_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
