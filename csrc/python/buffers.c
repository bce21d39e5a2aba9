/* buffers.c - Buffers: the memory that create_layout describes. */
#include "python/settings.h"

typedef struct buffers_object {
    PyObject_HEAD bs_arena arena;
    bs_layout layout;
    bs_buffers buffers; /* device NULL before __init__ has succeeded */
} buffers_object;

static buffers_object *alive(PyObject *object)
{
    buffers_object *self = (buffers_object *)object;
    if (self->buffers.device)
        return self;
    PyErr_SetString(PyExc_RuntimeError, "Buffers.__init__ has not succeeded");
    return NULL;
}

static int parse_hub(bs_hub *hub, int index, PyObject *item)
{
    int scale;
    long long pixels, columns;
    if (!bs_parse_item(item,
                       "ipiiiLL;a hub must be (scale, is_backward_only, context, n_sources, "
                       "rank, pixels, columns)",
                       &scale, &hub->backward_only, &hub->context, &hub->n_sources, &hub->rank,
                       &pixels, &columns))
        return -1;
    if (scale < BS_FIXED || scale > BS_TIME || hub->context < 0 || hub->context > 1 ||
        (hub->context && scale != BS_TIME) || hub->n_sources < 1 || hub->rank < 0 ||
        hub->rank > BS_MAX_NDIM || pixels < 1 || pixels > BS_MAX_SIZE || columns < 0 ||
        columns > BS_MAX_SIZE || (columns && pixels > BS_MAX_SIZE / columns)) {
        PyErr_Format(PyExc_ValueError, "hub %d makes no sense: %R", index, item);
        return -1;
    }
    hub->scale = (bs_scale)scale;
    hub->pixels = pixels;
    hub->columns = hub->row = columns;
    hub->host = index;
    return 0;
}

/* Whether a leaf lies inside its hub; the two constant hubs are flat. */
static int fits(const bs_leaf *leaf, const bs_hub *hub, int is_constant)
{
    const bs_shape *shape = &leaf->shape;
    const int64_t size = bs_shape_size(shape);
    const int joined = hub->n_sources > 1;
    const int64_t width = joined && shape->ndim ? shape->dim[shape->ndim - 1] : size;
    if (is_constant && joined)
        return 0;
    if (leaf->column < 0 || leaf->column > hub->columns || width > hub->columns - leaf->column)
        return 0;
    if (joined && (shape->ndim < 1 || size / width != hub->pixels))
        return 0;
    return shape->scale == hub->scale && shape->context <= hub->context &&
           (is_constant || shape->backward_only == hub->backward_only);
}

static int parse_leaf(buffers_object *self, int index, PyObject *item)
{
    bs_leaf *leaf = &self->layout.leaf[index];
    PyObject *spec;
    char what[60];
    long long column;
    bs_error err = {0};
    if (!bs_parse_item(item, "OiL;a leaf must be (spec, hub, column)", &spec, &leaf->hub, &column))
        return -1;
    snprintf(what, sizeof what, "leaf %d", index);
    if (bs_spec_from_python(&leaf->shape, spec, what) < 0)
        return -1;
    if (bs_check_shape("leaf", what, &leaf->shape, &err) != BS_OK)
        return bs_raise(&err), -1;
    leaf->column = column;
    leaf->layer = -1;
    if (leaf->hub < 0 || leaf->hub >= self->layout.n_hubs) {
        PyErr_Format(PyExc_ValueError, "leaf %d is in hub %d, but there are %d hubs", index,
                     leaf->hub, self->layout.n_hubs);
        return -1;
    }
    const int constant = leaf->hub == self->layout.leaf[BS_LEAF_PARAMETERS].hub ||
                         leaf->hub == self->layout.leaf[BS_LEAF_GRADIENTS].hub;
    if (!fits(leaf, &self->layout.hub[leaf->hub], constant)) {
        PyErr_Format(PyExc_ValueError, "leaf %d does not fit into hub %d: %R", index, leaf->hub,
                     item);
        return -1;
    }
    return 0;
}

static int build(buffers_object *self, PyObject *hubs, PyObject *leaves, bs_device *device)
{
    bs_layout *layout = &self->layout;
    bs_error err = {0};
    layout->n_hubs = (int)PyList_GET_SIZE(hubs);
    layout->n_leaves = (int)PyList_GET_SIZE(leaves);
    if (layout->n_leaves < 2) {
        PyErr_SetString(PyExc_ValueError, "the first two leaves must be parameters and gradients");
        return -1;
    }
    if (BS_ARENA_NEW(&self->arena, &layout->hub, layout->n_hubs, "hubs", &err) != BS_OK ||
        BS_ARENA_NEW(&self->arena, &layout->leaf, layout->n_leaves, "leaves", &err) != BS_OK)
        return bs_raise(&err), -1;
    for (int i = 0; i < layout->n_hubs; i++)
        if (parse_hub(&layout->hub[i], i, PyList_GET_ITEM(hubs, i)) < 0)
            return -1;
    for (int i = 0; i < layout->n_leaves; i++)
        if (parse_leaf(self, i, PyList_GET_ITEM(leaves, i)) < 0)
            return -1;
    if (bs_buffers_open(&self->buffers, &self->arena, layout, device, &err) != BS_OK ||
        bs_buffers_need_backward(&self->buffers, &err) != BS_OK) {
        bs_buffers_close(&self->buffers);
        return bs_raise(&err), -1;
    }
    return 0;
}

static int buffers_init(PyObject *object, PyObject *args, PyObject *unused)
{
    buffers_object *self = (buffers_object *)object;
    PyObject *hubs, *leaves, *handler;
    (void)unused;
    if (!PyArg_ParseTuple(args, "O!O!O:Buffers", &PyList_Type, &hubs, &PyList_Type, &leaves,
                          &handler))
        return -1;
    bs_device *device = bs_handler_device(handler);
    if (!device)
        return -1;
    if (self->layout.leaf) {
        PyErr_SetString(PyExc_RuntimeError, "these Buffers exist already");
        return -1;
    }
    return build(self, hubs, leaves, device);
}

static void buffers_dealloc(PyObject *object)
{
    buffers_object *self = (buffers_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->buffers.device)
        bs_buffers_close(&self->buffers);
    bs_arena_close(&self->arena);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *resize(PyObject *object, PyObject *args)
{
    buffers_object *self = alive(object);
    long long T, B;
    bs_error err = {0};
    if (!self || !PyArg_ParseTuple(args, "LL:resize", &T, &B))
        return NULL;
    if (bs_buffers_resize(&self->buffers, T, B, &err) != BS_OK)
        return bs_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *set_handler(PyObject *object, PyObject *handler)
{
    buffers_object *self = alive(object);
    bs_device *device = self ? bs_handler_device(handler) : NULL;
    bs_error err = {0};
    if (!device)
        return NULL;
    if (bs_buffers_move(&self->buffers, device, &err) != BS_OK)
        return bs_raise(&err);
    Py_RETURN_NONE;
}

static PyObject *leaf(PyObject *object, PyObject *index)
{
    const buffers_object *self = alive(object);
    const long i = self ? PyLong_AsLong(index) : -1;
    if (i == -1 && PyErr_Occurred())
        return NULL;
    if (i < 0 || i >= self->layout.n_leaves)
        return PyErr_Format(PyExc_IndexError, "there is no leaf %ld", i);
    const bs_array array = bs_buffers_array(&self->buffers, (int)i);
    return bs_array_to_python(&array, bs_buffers_block(&self->buffers, (int)i),
                              self->buffers.device);
}

static PyObject *get_time_steps(PyObject *object, void *unused)
{
    const buffers_object *self = alive(object);
    (void)unused;
    return self ? PyLong_FromLongLong(self->buffers.T) : NULL;
}

static PyObject *get_batch_size(PyObject *object, void *unused)
{
    const buffers_object *self = alive(object);
    (void)unused;
    return self ? PyLong_FromLongLong(self->buffers.B) : NULL;
}

static PyMethodDef methods[] = {
    {"resize", resize, METH_VARARGS, "resize(T, B): make room; parameters stay."},
    {"set_handler", set_handler, METH_O, "Parameters and gradients move along."},
    {"leaf", leaf, METH_O, "The live array."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"time_steps", get_time_steps, NULL, "T.", NULL},
    {"batch_size", get_batch_size, NULL, "B.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Buffers(hubs, leaves, handler)\n--\n\nThe memory that create_layout describes."},
    {Py_tp_init, buffers_init},
    {Py_tp_dealloc, buffers_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {.name = "brainstorm._core.Buffers",
                           .basicsize = sizeof(buffers_object),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots};

int bs_buffers_type_add(PyObject *module)
{
    return bs_module_add(module, "Buffers", PyType_FromModuleAndSpec(module, &spec, NULL));
}
