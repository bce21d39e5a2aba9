/* stream.c - RandomStream: a key and the number of the next draw. */
#include "python/core.h"

typedef struct stream_object {
    PyObject_HEAD bs_stream stream;
} stream_object;

int bs_is_stream(PyObject *value)
{
    return PyObject_TypeCheck(value, bs_the_core.stream_type);
}

bs_stream *bs_stream_of(PyObject *stream)
{
    if (!bs_is_stream(stream)) {
        PyErr_Format(PyExc_TypeError, "expected a RandomStream, not %.100s",
                     Py_TYPE(stream)->tp_name);
        return NULL;
    }
    return &((stream_object *)stream)->stream;
}

static int to_uint64(PyObject *value, uint64_t *out)
{
    PyObject *number = PyNumber_Index(value); /* also of NumPy's integers */
    if (!number)
        return -1;
    const unsigned long long x = PyLong_AsUnsignedLongLong(number);
    Py_DECREF(number);
    if (x == (unsigned long long)-1 && PyErr_Occurred())
        return -1;
    *out = x;
    return 0;
}

static int stream_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", NULL};
    PyObject *key = NULL;
    uint64_t value = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:RandomStream", names, &key) ||
        (key && to_uint64(key, &value) < 0))
        return -1;
    ((stream_object *)self)->stream = (bs_stream){.key = value};
    return 0;
}

static void stream_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *stream_restart(PyObject *self, PyObject *key)
{
    uint64_t value;
    if (to_uint64(key, &value) < 0)
        return NULL;
    ((stream_object *)self)->stream = (bs_stream){.key = value};
    Py_RETURN_NONE;
}

static PyObject *get_key(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((stream_object *)self)->stream.key);
}

static PyObject *get_draw(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((stream_object *)self)->stream.draw);
}

static int set_draw(PyObject *self, PyObject *value, void *unused)
{
    (void)unused;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "draw cannot be deleted");
        return -1;
    }
    return to_uint64(value, &((stream_object *)self)->stream.draw);
}

static PyMethodDef methods[] = {
    {"restart", stream_restart, METH_O, "Set the key and go back to draw 0."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"key", get_key, NULL, "The seed.", NULL},
    {"draw", get_draw, set_draw, "Number of the next draw.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "RandomStream(key=0)\n--\n\nA Philox4x32-10 stream: element i of draw n depends on "
                "(key, n, i) alone."},
    {Py_tp_init, stream_init},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {.name = "brainstorm._core.RandomStream",
                           .basicsize = sizeof(stream_object),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                           .slots = slots};

int bs_stream_type_add(PyObject *module)
{
    bs_the_core.stream_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return bs_the_core.stream_type ? PyModule_AddType(module, bs_the_core.stream_type) : -1;
}
