/* network_build.c - from lists of layers and connections to a graph, and from that to a network. */
#include "python/network.h"
#include "python/python_layer.h"
#include "python/settings.h"

static int add_layers(bs_graph *graph, PyObject *layers, bs_settings *settings,
                      bs_python_factory *factories, PyObject *made)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(layers); i++) {
        const char *name;
        PyObject *type_object, *kwargs;
        bs_error err = {0};
        if (!bs_parse_item(PyList_GET_ITEM(layers, i), "sOO;a layer must be (name, type, kwargs)",
                           &name, &type_object, &kwargs))
            return -1;
        const bs_layer_type *type = &bs_python_layer;
        factories[i] = (bs_python_factory){type_object, made};
        const bs_setting factory = {
            .name = "factory", .kind = BS_POINTER, .pointer = &factories[i]};
        if (PyUnicode_Check(type_object)) {
            const char *text = PyUnicode_AsUTF8(type_object);
            type = text ? bs_layer_type_find(text) : NULL;
            if (!type) {
                PyErr_Format(bs_network_error(), "layer '%s': there is no layer type %R", name,
                             type_object);
                return -1;
            }
            if (bs_settings_from_kwargs(&settings[i], name, kwargs) < 0)
                return -1;
            bs_graph_add(graph, type, name, settings[i].n, settings[i].setting, &err);
        } else {
            bs_graph_add(graph, type, name, 1, &factory, &err);
        }
        if (err.code != BS_OK) {
            bs_raise(&err);
            return -1;
        }
    }
    return 0;
}

static int add_connections(bs_graph *graph, PyObject *connections)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(connections); i++) {
        const char *start, *output, *end, *input;
        bs_error err = {0};
        PyObject *item = PySequence_Tuple(PyList_GET_ITEM(connections, i));
        int good = item &&
                   PyArg_ParseTuple(item, "ssss;a connection must be (start, output, end, input)",
                                    &start, &output, &end, &input);
        if (good && bs_graph_connect(graph, start, output, end, input, &err) != BS_OK) {
            bs_raise(&err);
            good = 0;
        }
        Py_XDECREF(item);
        if (!good)
            return -1;
    }
    return 0;
}

int bs_network_build(network_object *self, PyObject *layers, PyObject *connections)
{
    const Py_ssize_t n = PyList_GET_SIZE(layers);
    bs_device *device = bs_handler_device(self->handler);
    if (!device)
        return -1;
    bs_settings *settings = PyMem_Calloc((size_t)n + 1, sizeof *settings);
    bs_python_factory *factories = PyMem_Calloc((size_t)n + 1, sizeof *factories);
    bs_graph *graph = NULL;
    bs_error err = {0};
    int result = -1;
    self->layers = Py_NewRef(layers);
    self->made = PyList_New(0);
    if (!settings || !factories || !self->made)
        PyErr_NoMemory();
    else if (bs_graph_create(&graph, &err) != BS_OK)
        bs_raise(&err);
    else if (add_layers(graph, layers, settings, factories, self->made) == 0 &&
             add_connections(graph, connections) == 0) {
        if (bs_network_create(&self->net, graph, device, &err) != BS_OK)
            bs_raise(&err);
        else
            result = 0;
    }
    bs_graph_close(graph);
    for (Py_ssize_t i = 0; settings && i < n; i++)
        bs_settings_close(&settings[i]);
    PyMem_Free(settings);
    PyMem_Free(factories);
    return result;
}
