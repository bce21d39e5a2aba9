/* lone_layer.c - Layer: a built-in layer outside of any network, and what layers tell of
 * themselves.
 */
#include <string.h>

#include "python/convert.h"
#include "python/settings.h"

/* ---- infos ---- */

/* Tuple of the names of the buffers that have the flag. */
static PyObject *flagged(const bs_buffers_declared *list, unsigned flag)
{
    PyObject *names = PyList_New(0), *out;
    for (int i = 0; names && i < list->n; i++) {
        PyObject *name = PyUnicode_FromString(list->buffer[i].name);
        if (!name || ((list->buffer[i].flags & flag) && PyList_Append(names, name) < 0))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    out = names ? PyList_AsTuple(names) : NULL;
    Py_XDECREF(names);
    return out;
}

PyObject *bs_layer_info(const bs_layer *layer, PyObject *object, PyObject *kwargs)
{
    PyObject *type = object == Py_None ? PyUnicode_FromString(layer->type->name)
                                       : Py_NewRef(Py_None);
    return Py_BuildValue(
        "{s:s,s:N,s:O,s:N,s:N,s:N,s:N,s:N,s:N,s:N,s:N}", "name", layer->name, "type", type,
        "object", object, "kwargs", kwargs, "in_shapes", bs_specs_to_python(&layer->in),
        "out_shapes", bs_specs_to_python(&layer->out), "parameter_shapes",
        bs_specs_to_python(&layer->param), "internal_shapes", bs_specs_to_python(&layer->inner),
        "inputs_without_deltas", flagged(&layer->in, BS_NO_DELTA), "outputs_without_deltas",
        flagged(&layer->out, BS_NO_DELTA), "without_gradient",
        flagged(&layer->param, BS_NO_GRADIENT));
}

/* ---- the type ---- */

typedef struct layer_object {
    PyObject_HEAD bs_lone_layer *lone; /* NULL before __init__ has succeeded */
    PyObject *kwargs;                  /* with defaults for those that were not given */
} layer_object;

static layer_object *alive(PyObject *object)
{
    layer_object *self = (layer_object *)object;
    if (self->lone)
        return self;
    PyErr_SetString(PyExc_RuntimeError, "Layer.__init__ has not succeeded");
    return NULL;
}

/* The inputs of a {port: spec}; the array is PyMem memory. */
static int inputs_from_python(PyObject *specs, const char *name, bs_buffer **out, int *n)
{
    PyObject *key, *spec;
    Py_ssize_t at = 0;
    *n = 0;
    *out = PyMem_Calloc((size_t)PyDict_GET_SIZE(specs) + 1, sizeof **out);
    if (!*out)
        return PyErr_NoMemory(), -1;
    while (PyDict_Next(specs, &at, &key, &spec)) {
        char what[200];
        bs_buffer *input = &(*out)[(*n)++];
        input->name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;
        if (!input->name) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_TypeError, "layer '%s': names of inputs must be strings", name);
            return -1;
        }
        snprintf(what, sizeof what, "layer '%s': in_shapes['%s']", name, input->name);
        if (bs_spec_from_python(&input->shape, spec, what) < 0)
            return -1;
        input->shape.context = input->shape.backward_only = 0;
    }
    return 0;
}

static int create(layer_object *self, const bs_layer_type *type, const char *name,
                  PyObject *in_specs, PyObject *kwargs)
{
    bs_settings settings;
    bs_buffer *inputs = NULL;
    bs_error err = {0};
    int n, result = -1;
    if (bs_settings_from_kwargs(&settings, name, kwargs) == 0 &&
        inputs_from_python(in_specs, name, &inputs, &n) == 0) {
        if (bs_lone_layer_create(&self->lone, type, name, settings.n, settings.setting, n, inputs,
                                 &err) == BS_OK)
            result = 0;
        else
            bs_raise(&err);
    }
    PyMem_Free(inputs);
    bs_settings_close(&settings);
    return result;
}

static int layer_init(PyObject *object, PyObject *args, PyObject *unused)
{
    layer_object *self = (layer_object *)object;
    const char *type_name, *name;
    PyObject *in_specs, *kwargs;
    (void)unused;
    if (!PyArg_ParseTuple(args, "ssO!O!:Layer", &type_name, &name, &PyDict_Type, &in_specs,
                          &PyDict_Type, &kwargs))
        return -1;
    const bs_layer_type *type = bs_layer_type_find(type_name);
    if (!type) {
        PyErr_Format(bs_layer_error(), "layer '%s': there is no layer type '%s'", name, type_name);
        return -1;
    }
    if (self->lone) {
        PyErr_SetString(PyExc_RuntimeError, "this Layer exists already");
        return -1;
    }
    self->kwargs = bs_settings_defaults(type, Py_None);
    if (!self->kwargs || PyDict_Update(self->kwargs, kwargs) < 0)
        return -1;
    return create(self, type, name, in_specs, kwargs);
}

static void layer_dealloc(PyObject *object)
{
    layer_object *self = (layer_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    bs_lone_layer_close(self->lone);
    Py_CLEAR(self->kwargs);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *get_info(PyObject *object, void *unused)
{
    const layer_object *self = alive(object);
    (void)unused;
    return self ? bs_layer_info(bs_lone_layer_layer(self->lone), Py_None, Py_NewRef(self->kwargs))
                : NULL;
}

static PyObject *get_leaves(PyObject *object, void *unused)
{
    const layer_object *self = alive(object);
    PyObject *out = self ? PyList_New(0) : NULL;
    (void)unused;
    if (!out)
        return NULL;
    const bs_layout *layout = bs_lone_layer_layout(self->lone);
    for (int i = 0; out && i < layout->n_leaves; i++) {
        const bs_leaf *leaf = &layout->leaf[i];
        if (leaf->layer < 0)
            continue;
        PyObject *row = Py_BuildValue("(issN)", i, bs_category_names[leaf->category], leaf->name,
                                      bs_spec_to_python(&leaf->shape));
        if (!row || PyList_Append(out, row) < 0)
            Py_CLEAR(out);
        Py_XDECREF(row);
    }
    return out;
}

/* ---- passes ---- */

/* The packed numbers of value for a leaf, as a new reference; *array is a view of them. */
static PyObject *given_numbers(const layer_object *self, int leaf, PyObject *value, bs_array *array)
{
    const bs_leaf *l = &bs_lone_layer_layout(self->lone)->leaf[leaf];
    const char *name = bs_lone_layer_layer(self->lone)->name;
    const bs_array wanted = bs_lone_layer_array(self->lone, leaf);
    PyObject *numbers = bs_packed_from_python(value, (bs_dtype)wanted.dtype, array);
    if (numbers && !bs_same_shape(array, &wanted)) {
        char got[120], expected[120];
        bs_dims_text(got, sizeof got, array->ndim, array->dim);
        bs_dims_text(expected, sizeof expected, wanted.ndim, wanted.dim);
        PyErr_Format(bs_layer_error(), "layer '%s': %s.%s has shape %s, expected %s", name,
                     bs_category_names[l->category], l->name, got, expected);
        Py_CLEAR(numbers);
    }
    return numbers;
}

/* Copies {leaf: array} into the layer. */
static int put_arrays(const layer_object *self, bs_device *device, PyObject *arrays)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(arrays, &at, &key, &value)) {
        const long leaf = PyLong_AsLong(key);
        bs_array numbers;
        bs_error err = {0};
        if (leaf < 0 || leaf >= bs_lone_layer_layout(self->lone)->n_leaves) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_IndexError, "there is no leaf %ld", leaf);
            return -1;
        }
        PyObject *kept = given_numbers(self, (int)leaf, value, &numbers);
        if (!kept)
            return -1;
        const bs_array array = bs_lone_layer_array(self->lone, (int)leaf);
        const bs_status status = device->write(device, &array, numbers.data, &err);
        Py_DECREF(kept);
        if (status != BS_OK)
            return bs_raise(&err), -1;
    }
    return 0;
}

/* {leaf: copy of what the layer holds} for the leaves of `arrays`. */
static PyObject *get_arrays(const layer_object *self, bs_device *device, PyObject *arrays)
{
    PyObject *key, *value, *out = PyDict_New();
    Py_ssize_t at = 0;
    while (out && PyDict_Next(arrays, &at, &key, &value)) {
        const bs_array array = bs_lone_layer_array(self->lone, (int)PyLong_AsLong(key));
        bs_array packed;
        bs_error err = {0};
        PyObject *copy = bs_new_packed(&array, &packed);
        if (copy && device->read(device, &array, packed.data, &err) != BS_OK) {
            bs_raise(&err);
            Py_CLEAR(copy);
        }
        if (!copy || PyDict_SetItem(out, key, copy) < 0)
            Py_CLEAR(out);
        Py_XDECREF(copy);
    }
    return out;
}

static PyObject *run(PyObject *object, PyObject *handler, long long T, long long B,
                     PyObject *arrays, int backward, bs_pass pass)
{
    const layer_object *self = alive(object);
    bs_device *device = self ? bs_handler_device(handler) : NULL;
    PyObject *stream = device ? PyObject_GetAttrString(handler, "stream") : NULL, *out = NULL;
    bs_stream *numbers = stream ? bs_stream_of(stream) : NULL;
    bs_error err = {0};
    if (numbers) {
        bs_status status = bs_lone_layer_resize(self->lone, device, T, B, &err);
        bs_error_prefix(&err, "layer '%s'", bs_lone_layer_layer(self->lone)->name);
        if (status == BS_OK && put_arrays(self, device, arrays) == 0) {
            status = backward ? bs_lone_layer_backward(self->lone, numbers, &err)
                              : bs_lone_layer_forward(self->lone, numbers, pass, &err);
            if (status == BS_OK)
                out = get_arrays(self, device, arrays);
        }
        if (status != BS_OK)
            bs_raise(&err);
    }
    Py_XDECREF(stream);
    return out;
}

static PyObject *forward(PyObject *object, PyObject *args)
{
    PyObject *handler, *arrays;
    long long T, B;
    int training;
    if (!PyArg_ParseTuple(args, "OLLO!p:forward", &handler, &T, &B, &PyDict_Type, &arrays,
                          &training))
        return NULL;
    return run(object, handler, T, B, arrays, 0, training ? BS_TRAINING : BS_INFERENCE);
}

static PyObject *backward(PyObject *object, PyObject *args)
{
    PyObject *handler, *arrays;
    long long T, B;
    if (!PyArg_ParseTuple(args, "OLLO!:backward", &handler, &T, &B, &PyDict_Type, &arrays))
        return NULL;
    return run(object, handler, T, B, arrays, 1, BS_TRAINING);
}

static PyMethodDef methods[] = {
    {"forward", forward, METH_VARARGS,
     "forward(handler, T, B, {leaf: array}, training) -> {leaf: array}"},
    {"backward", backward, METH_VARARGS, "backward(handler, T, B, {leaf: array}) -> {leaf: array}"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"info", get_info, NULL, "As an entry of Network.layer_infos().", NULL},
    {"leaves", get_leaves, NULL, "List of (leaf, category, name, spec).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Layer(type_name, name, in_specs, kwargs)\n--\n\nA built-in layer by itself."},
    {Py_tp_init, layer_init},
    {Py_tp_dealloc, layer_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {.name = "brainstorm._core.Layer",
                           .basicsize = sizeof(layer_object),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots};

int bs_lone_layer_type_add(PyObject *module)
{
    return bs_module_add(module, "Layer", PyType_FromModuleAndSpec(module, &spec, NULL));
}
