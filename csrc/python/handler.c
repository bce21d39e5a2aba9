/* handler.c - Handler: an opened device with a handle.
 *
 * A lock guards the handle, so threads may share one Handler object. */
#include "python/handler.h"

#include "python/convert.h"
#include "python/gpu_array.h"

handler_object *bs_handler_opened(PyObject *self)
{
    handler_object *h = (handler_object *)self;
    if (h->device)
        return h;
    PyErr_SetString(PyExc_RuntimeError, "Handler.__init__ has not been called");
    return NULL;
}

int bs_is_handler(PyObject *value)
{
    return PyObject_TypeCheck(value, bs_the_core.handler_type);
}

bs_device *bs_handler_device(PyObject *handler)
{
    if (!bs_is_handler(handler)) {
        PyErr_Format(PyExc_TypeError, "expected a Handler, not %.100s", Py_TYPE(handler)->tp_name);
        return NULL;
    }
    const handler_object *h = bs_handler_opened(handler);
    return h ? h->device : NULL;
}

/* ---- the lock ---- */

/* Whose stream and lock are used. */
static handler_object *owner(handler_object *h)
{
    return h->wrapped ? h->wrapped : h;
}

void bs_handler_lock(handler_object *h)
{
    PyThread_type_lock lock = owner(h)->lock;
    if (!PyThread_acquire_lock(lock, NOWAIT_LOCK)) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    h->handle.stream = bs_stream_of(owner(h)->stream);
}

void bs_handler_unlock(handler_object *h)
{
    PyThread_release_lock(owner(h)->lock);
}

/* ---- life ---- */

static int handler_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "dtype", "stream", "device", "tf32", NULL};
    handler_object *h = (handler_object *)self;
    const char *name;
    PyObject *dtype_object, *stream_object;
    bs_device_options options = {0};
    bs_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sOO|ip:Handler", names, &name, &dtype_object,
                                     &stream_object, &options.number, &options.tf32))
        return -1;
    const int dtype = bs_dtype_of(dtype_object);
    if (dtype < 0 || !bs_stream_of(stream_object))
        return -1;
    if (h->device) {
        PyErr_SetString(PyExc_RuntimeError, "this Handler is open already");
        return -1;
    }
    if (!h->lock && !(h->lock = PyThread_allocate_lock())) {
        PyErr_NoMemory();
        return -1;
    }
    if (bs_device_open(&h->device, name, (bs_dtype)dtype, &options, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    bs_handler_init(&h->handle, h->device, NULL);
    h->stream = Py_NewRef(stream_object);
    return 0;
}

static void handler_dealloc(PyObject *self)
{
    handler_object *h = (handler_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    bs_handler_close(&h->handle);
    bs_device_release(h->device);
    Py_CLEAR(h->stream);
    Py_CLEAR(h->wrapped);
    if (h->lock)
        PyThread_free_lock(h->lock);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- attributes ---- */

static PyObject *get_name(PyObject *self, void *unused)
{
    const handler_object *h = bs_handler_opened(self);
    (void)unused;
    return h ? PyUnicode_FromString(h->device->type->name) : NULL;
}

static PyObject *get_dtype(PyObject *self, void *unused)
{
    const handler_object *h = bs_handler_opened(self);
    (void)unused;
    return h ? Py_NewRef(h->device->dtype == BS_F64 ? bs_the_core.float64 : bs_the_core.float32)
             : NULL;
}

static PyObject *get_stream(PyObject *self, void *unused)
{
    handler_object *h = bs_handler_opened(self);
    (void)unused;
    return h ? Py_NewRef(owner(h)->stream) : NULL;
}

static int set_stream(PyObject *self, PyObject *value, void *unused)
{
    handler_object *h = bs_handler_opened(self);
    (void)unused;
    if (h && !value)
        PyErr_SetString(PyExc_AttributeError, "stream cannot be deleted");
    if (!h || !value || !bs_stream_of(value))
        return -1;
    bs_handler_lock(h); /* nobody is drawing from the stream of before */
    PyObject *before = owner(h)->stream;
    owner(h)->stream = Py_NewRef(value);
    bs_handler_unlock(h);
    Py_DECREF(before);
    return 0;
}

static PyGetSetDef attributes[] = {
    {"name", get_name, NULL, "Its name in the list of handlers.", NULL},
    {"dtype", get_dtype, NULL, "numpy.float32 or numpy.float64.", NULL},
    {"stream", get_stream, set_stream, "The RandomStream that random operations draw from.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- arrays of a device ---- */

static handler_object *with_device_memory(PyObject *self)
{
    handler_object *h = bs_handler_opened(self);
    if (h && h->device->type->host_memory) {
        PyErr_SetString(PyExc_TypeError, "the arrays of this handler are those of NumPy");
        return NULL;
    }
    return h;
}

static PyObject *new_array(PyObject *self, PyObject *args)
{
    int64_t dim[BS_MAX_NDIM];
    PyObject *shape, *dtype_object;
    const handler_object *h = with_device_memory(self);
    if (!h || !PyArg_ParseTuple(args, "OO:new_array", &shape, &dtype_object))
        return NULL;
    const int dtype = bs_dtype_of(dtype_object), ndim = dtype < 0 ? -1 : bs_parse_shape(shape, dim);
    return ndim < 0 ? NULL : (PyObject *)bs_gpu_array_new(h->device, (bs_dtype)dtype, ndim, dim);
}

static PyObject *wrap_array(PyObject *self, PyObject *array)
{
    const handler_object *h = with_device_memory(self);
    return h ? (PyObject *)bs_gpu_array_from(array, h->device) : NULL;
}

static PyMethodDef array_methods[] = {
    {"new_array", new_array, METH_VARARGS,
     "new_array(shape, dtype)\n--\n\nA GpuArray of zeros in new memory of the device."},
    {"wrap_array", wrap_array, METH_O,
     "wrap_array(array)\n--\n\nA GpuArray on memory that another library has allocated."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Handler(name, dtype, stream, device=0, tf32=False)\n--\n\nAn opened handler, with "
                "one method per operation."},
    {Py_tp_init, handler_init},
    {Py_tp_dealloc, handler_dealloc},
    {Py_tp_methods, bs_operation_methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

static PyType_Spec spec = {.name = "brainstorm._core.Handler",
                           .basicsize = sizeof(handler_object),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                           .slots = slots};

int bs_handler_type_add(PyObject *module)
{
    bs_the_core.handler_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (!bs_the_core.handler_type)
        return -1;
    for (PyMethodDef *m = array_methods; m->ml_name; m++) {
        PyObject *method = PyDescr_NewMethod(bs_the_core.handler_type, m);
        if (!method ||
            PyObject_SetAttrString((PyObject *)bs_the_core.handler_type, m->ml_name, method) < 0) {
            Py_XDECREF(method);
            return -1;
        }
        Py_DECREF(method);
    }
    return PyModule_AddType(module, bs_the_core.handler_type);
}
