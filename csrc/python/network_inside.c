/* network_inside.c - what a network shows of itself: its tree of buffers, its layers, the arrays of
 * its leaves, its losses. */
#include <string.h>

#include "python/network.h"
#include "python/settings.h"

/* {name: leaf} of one category; inputs and their deltas sorted by name. */
static PyObject *category_dict(const bs_network *net, int layer, bs_category category)
{
    const bs_layout *layout = bs_network_layout(net);
    const int sorted = category == BS_INPUTS || category == BS_INPUT_DELTAS;
    PyObject *names = PyList_New(0), *out = PyDict_New(), *leaves = PyDict_New();
    int good = names && out && leaves;
    for (int i = layout->first[layer][category];
         good && i < layout->n_leaves && layout->leaf[i].layer == layer &&
         layout->leaf[i].category == category;
         i++) {
        PyObject *name = PyUnicode_FromString(layout->leaf[i].name), *leaf = PyLong_FromLong(i);
        good = name && leaf && PyList_Append(names, name) == 0 &&
               PyDict_SetItem(leaves, name, leaf) == 0;
        Py_XDECREF(name);
        Py_XDECREF(leaf);
    }
    if (good && sorted)
        good = PyList_Sort(names) == 0;
    for (Py_ssize_t i = 0; good && i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        good = PyDict_SetItem(out, name, PyDict_GetItemWithError(leaves, name)) == 0;
    }
    Py_XDECREF(names);
    Py_XDECREF(leaves);
    if (!good)
        Py_CLEAR(out);
    return out;
}

static PyObject *layer_dict(const bs_network *net, int layer)
{
    PyObject *out = PyDict_New();
    for (int c = 0; out && c < BS_N_CATEGORIES; c++) {
        PyObject *leaves = category_dict(net, layer, (bs_category)c);
        if (!leaves || PyDict_SetItemString(out, bs_category_names[c], leaves) < 0)
            Py_CLEAR(out);
        Py_XDECREF(leaves);
    }
    return out;
}

PyObject *bs_network_tree(network_object *self, void *unused)
{
    if (bs_network_alive(self) < 0)
        return NULL;
    const bs_wiring *wiring = bs_network_wiring(self->net);
    PyObject *out = Py_BuildValue("{s:i,s:i}", "parameters", BS_LEAF_PARAMETERS, "gradients",
                                  BS_LEAF_GRADIENTS);
    (void)unused;
    for (int l = 0; out && l < wiring->n; l++) {
        PyObject *layer = layer_dict(self->net, l);
        if (!layer || PyDict_SetItemString(out, wiring->layer[l].name, layer) < 0)
            Py_CLEAR(out);
        Py_XDECREF(layer);
    }
    return out;
}

/* Whether a tuple begins with this name. */
static int is_called(PyObject *tuple, const char *name)
{
    const char *text = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, 0));
    return text && strcmp(text, name) == 0;
}

/* kwargs of a built-in layer as they were given, with defaults for the rest. */
static PyObject *full_kwargs(network_object *self, const bs_layer *layer)
{
    PyObject *out = bs_settings_defaults(layer->type, Py_None);
    for (Py_ssize_t i = 0; out && i < PyList_GET_SIZE(self->layers); i++) {
        PyObject *item = PyList_GET_ITEM(self->layers, i);
        if (is_called(item, layer->name) && PyDict_Update(out, PyTuple_GET_ITEM(item, 2)) < 0)
            Py_CLEAR(out);
    }
    return out;
}

/* What the factory of a Python layer returned; borrowed, NULL for built-in layers. */
static PyObject *made_by_factory(network_object *self, const bs_layer *layer)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(self->made); i++) {
        PyObject *pair = PyList_GET_ITEM(self->made, i);
        if (is_called(pair, layer->name))
            return PyTuple_GET_ITEM(pair, 1);
    }
    return NULL;
}

static PyObject *layer_info(network_object *self, const bs_layer *layer)
{
    PyObject *made = made_by_factory(self, layer);
    PyObject *kwargs = made ? PyDict_New() : full_kwargs(self, layer);
    return bs_layer_info(layer, made ? PyTuple_GET_ITEM(made, 0) : Py_None, kwargs);
}

PyObject *bs_network_layer_infos(network_object *self, PyObject *unused)
{
    if (bs_network_alive(self) < 0)
        return NULL;
    const bs_wiring *wiring = bs_network_wiring(self->net);
    PyObject *out = PyList_New(0);
    (void)unused;
    for (int l = 0; out && l < wiring->n; l++) {
        PyObject *info = layer_info(self, &wiring->layer[l]);
        if (!info || PyList_Append(out, info) < 0)
            Py_CLEAR(out);
        Py_XDECREF(info);
    }
    return out;
}

PyObject *bs_network_parameter_order(network_object *self, PyObject *unused)
{
    if (bs_network_alive(self) < 0)
        return NULL;
    const bs_layout *layout = bs_network_layout(self->net);
    PyObject *order = PyList_New(0);
    int64_t column = 0;
    (void)unused;
    for (int i = 0; order && i < layout->n_leaves; i++) {
        const bs_leaf *leaf = &layout->leaf[i];
        if (leaf->layer < 0 || leaf->category != BS_PARAMETERS || leaf->column != column)
            continue;
        PyObject *pair = Py_BuildValue(
            "(ss)", bs_network_wiring(self->net)->layer[leaf->layer].name, leaf->name);
        if (!pair || PyList_Append(order, pair) < 0)
            Py_CLEAR(order);
        Py_XDECREF(pair);
        column += bs_shape_size(&leaf->shape);
        i = 1; /* the next one may stand anywhere */
    }
    return order;
}

PyObject *bs_network_context_leaves(network_object *self, PyObject *unused)
{
    if (bs_network_alive(self) < 0)
        return NULL;
    const bs_layout *layout = bs_network_layout(self->net);
    PyObject *out = PyList_New(0);
    (void)unused;
    for (int i = 0; out && i < layout->n_leaves; i++) {
        const bs_leaf *leaf = &layout->leaf[i];
        if (!leaf->shape.context || leaf->shape.backward_only)
            continue;
        PyObject *row = Py_BuildValue("(sssi)",
                                      bs_network_wiring(self->net)->layer[leaf->layer].name,
                                      bs_category_names[leaf->category], leaf->name, i);
        if (!row || PyList_Append(out, row) < 0)
            Py_CLEAR(out);
        Py_XDECREF(row);
    }
    return out;
}

PyObject *bs_network_leaf(network_object *self, PyObject *index)
{
    const long leaf = PyLong_AsLong(index);
    const int inside = self->owner ==
                       PyThread_get_thread_ident(); /* a Python layer during its own pass */
    bs_array array;
    bs_block *block;
    bs_error err = {0};
    if ((leaf == -1 && PyErr_Occurred()) || bs_network_alive(self) < 0)
        return NULL;
    if (leaf < 0 || leaf >= bs_network_layout(self->net)->n_leaves)
        return PyErr_Format(PyExc_IndexError, "there is no leaf %ld", leaf);
    if (!inside && bs_network_hold(self) < 0)
        return NULL;
    bs_status status = BS_OK;
    if (!inside) {
        Py_BEGIN_ALLOW_THREADS
        status = bs_network_finish(self->net, &err);
        Py_END_ALLOW_THREADS
    }
    if (status == BS_OK)
        status = bs_network_array(self->net, (int)leaf, &array, &block, &err);
    PyObject *out = status == BS_OK
                        ? bs_array_to_python(&array, block, bs_network_device(self->net))
                        : bs_raise(&err);
    if (!inside)
        bs_network_let_go(self);
    return out;
}

PyObject *bs_network_loss_values(network_object *self, PyObject *unused)
{
    double total = 0;
    (void)unused;
    if (bs_network_hold(self) < 0)
        return NULL;
    PyObject *out = PyDict_New();
    const int n = bs_network_n_losses(self->net);
    for (int i = 0; out && i <= n; i++) { /* the last round is the total */
        const char *name = "total_loss";
        double value = total;
        bs_error err = {0};
        bs_status status = BS_OK;
        if (i < n) {
            Py_BEGIN_ALLOW_THREADS
            status = bs_network_loss(self->net, i, &name, &value, &err);
            Py_END_ALLOW_THREADS
        }
        if (status != BS_OK) {
            bs_raise(&err);
            Py_CLEAR(out);
            break;
        }
        total += i < n ? value : 0;
        if (n == 1 && i == 0)
            continue; /* one loss is known by the total alone */
        PyObject *number = PyFloat_FromDouble(value);
        if (!number || PyDict_SetItemString(out, name, number) < 0)
            Py_CLEAR(out);
        Py_XDECREF(number);
    }
    bs_network_let_go(self);
    return out;
}
