/* python_layer.c - a layer type whose functions call a layer object in Python. */
#include "python/python_layer.h"

#include "python/settings.h"

typedef struct {
    bs_python_factory *factory;
    PyObject *forward, *backward; /* borrowed from the factory's list */
    const char *name;
} python_layer;

static const bs_option options[] = {
    {"factory", BS_OPT_POINTER, offsetof(python_layer, factory), NULL, NULL}, {0}};

/* Marks the buffers that `names` lists; one that does not exist is an error. */
static int set_flags(const bs_layer *layer, const bs_buffers_declared *list, PyObject *names,
                     unsigned flag)
{
    PyObject *items = PySequence_Fast(names, "a factory must return sequences of names");
    int result = items ? 0 : -1;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(items); i++) {
        const char *name = PyUnicode_AsUTF8(PySequence_Fast_ITEMS(items)[i]);
        const int at = name ? bs_find_buffer(list, name) : -1;
        if (at >= 0)
            list->buffer[at].flags |= flag;
        else
            result = -1;
        if (name && at < 0)
            PyErr_Format(bs_layer_error(), "layer '%s' has no input or parameter '%s'", layer->name,
                         name);
    }
    Py_XDECREF(items);
    return result;
}

typedef bs_status add_function(bs_layer *layer, const char *name, bs_shape shape, bs_error *err);

static bs_status add_parameter(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    if (shape.scale != BS_FIXED)
        return bs_fail(err, BS_LAYER, "parameter '%s' must be of constant size", name);
    return bs_add_parameter(layer, name, shape, 0, err);
}

/* Declares one (name, spec). */
static bs_status declare_one(bs_layer *layer, const char *kind, PyObject *item, add_function *add,
                             bs_error *err)
{
    PyObject *name = PyTuple_GET_ITEM(item, 0), *spec = PyTuple_GET_ITEM(item, 1);
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    char what[300];
    bs_shape shape;
    if (!text || !PyUnicode_IsIdentifier(name))
        return bs_fail(err, BS_LAYER, "the names of its %s must be identifiers", kind);
    snprintf(what, sizeof what, "layer '%s': %s['%s']", layer->name, kind, text);
    if (bs_spec_from_python(&shape, spec, what) < 0)
        return bs_fail(err, BS_CALLBACK, "%s", what);
    return add(layer, text, shape, err);
}

static bs_status declare_all(bs_layer *layer, const char *kind, PyObject *specs, add_function *add,
                             bs_error *err)
{
    PyObject *items = PyDict_Check(specs) ? PyDict_Items(specs) : NULL;
    bs_status status = BS_OK;
    if (!items)
        return bs_fail(err, BS_LAYER, "%s must be a dict of name: spec", kind);
    for (Py_ssize_t i = 0; status == BS_OK && i < PyList_GET_SIZE(items); i++)
        status = declare_one(layer, kind, PyList_GET_ITEM(items, i), add, err);
    Py_DECREF(items);
    return status;
}

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    python_layer *self = state;
    PyObject *in_shapes = bs_specs_to_python(&layer->in);
    PyObject *made = in_shapes ? PyObject_CallOneArg(self->factory->factory, in_shapes) : NULL;
    PyObject *pair = made ? Py_BuildValue("(sO)", layer->name, made) : NULL;
    PyObject *object, *no_delta, *no_gradient, *outputs, *parameters, *internals;
    bs_status status = BS_OK;
    self->name = layer->name;
    if (!pair || PyList_Append(self->factory->made, pair) < 0 ||
        !bs_parse_item(made, "OOOOOOOO;a factory must return 8 things", &object, &no_delta,
                       &no_gradient, &outputs, &parameters, &internals, &self->forward,
                       &self->backward))
        status = bs_fail(err, BS_CALLBACK, "layer '%s'", layer->name);
    if (status == BS_OK)
        status = declare_all(layer, "outputs", outputs, bs_add_output, err);
    if (status == BS_OK)
        status = declare_all(layer, "parameters", parameters, add_parameter, err);
    if (status == BS_OK)
        status = declare_all(layer, "internals", internals, bs_add_internal, err);
    if (status == BS_OK && (set_flags(layer, &layer->in, no_delta, BS_NO_DELTA) < 0 ||
                            set_flags(layer, &layer->param, no_gradient, BS_NO_GRADIENT) < 0))
        status = bs_fail(err, BS_CALLBACK, "layer '%s'", layer->name);
    Py_XDECREF(pair);
    Py_XDECREF(made);
    Py_XDECREF(in_shapes);
    return status;
}

/* Calls forward(argument) or backward(); an exception stays set and becomes the handle's sticky
 * error. */
static void call(bs_handler *h, const python_layer *self, PyObject *function, PyObject *argument,
                 const char *pass)
{
    bs_handler_flush(h); /* it will look at arrays */
    PyGILState_STATE gil = PyGILState_Ensure();
    const int flushed = bs_flush_subnormals(0); /* Python's own numbers are whole */
    PyObject *result = argument ? PyObject_CallOneArg(function, argument)
                                : PyObject_CallNoArgs(function);
    bs_flush_subnormals(flushed);
    if (!result)
        bs_fail(&h->error, BS_CALLBACK, "%s pass of layer '%s'", pass, self->name);
    Py_XDECREF(result);
    PyGILState_Release(gil);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const python_layer *self = state;
    call(h, self, self->forward, io->pass == BS_TRAINING ? Py_True : Py_False, "forward pass");
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const python_layer *self = state;
    (void)io;
    call(h, self, self->backward, NULL, "backward pass");
}

const bs_layer_type bs_python_layer = {.name = "custom layer",
                                       .options = options,
                                       .state_size = sizeof(python_layer),
                                       .flags = BS_ANY_INPUTS | BS_WANTS_ZEROED | BS_MAY_FAIL,
                                       .setup = setup,
                                       .forward = forward,
                                       .backward = backward};
