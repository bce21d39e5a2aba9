/* gpu_array.c - the type GpuArray: its life and what it tells of itself. */
#include "python/gpu_array.h"

#include "python/convert.h"
#include "python/numpy_api.h"

int bs_is_gpu_array(PyObject *value)
{
    return PyObject_TypeCheck(value, bs_the_core.gpu_array_type);
}

/* ---- sizes ---- */

static int fail_sizes(PyObject *exception, const char *what, PyObject *value)
{
    PyErr_Format(exception, "%s must be an int or a sequence of at most %d ints, got %R", what,
                 BS_MAX_NDIM, value);
    return -1;
}

int bs_parse_sizes(PyObject *value, const char *what, int64_t out[BS_MAX_NDIM])
{
    if (!PyIndex_Check(value) && !PySequence_Check(value))
        return fail_sizes(PyExc_TypeError, what, value);
    PyObject *sizes = PyIndex_Check(value) ? PyTuple_Pack(1, value) : PySequence_Tuple(value);
    const Py_ssize_t n = sizes ? PyTuple_GET_SIZE(sizes) : -1;
    int result = (int)n;
    if (n > BS_MAX_NDIM)
        result = fail_sizes(PyExc_ValueError, what, value);
    for (Py_ssize_t d = 0; d < n && result >= 0; d++) {
        PyObject *size = PyTuple_GET_ITEM(sizes, d);
        if (!PyIndex_Check(size)) {
            result = fail_sizes(PyExc_TypeError, what, value);
            break;
        }
        out[d] = PyNumber_AsSsize_t(size, PyExc_OverflowError);
        if (out[d] == -1 && PyErr_Occurred())
            result = fail_sizes(PyExc_ValueError, what, value);
    }
    Py_XDECREF(sizes);
    return result;
}

int bs_parse_shape(PyObject *shape, int64_t dim[BS_MAX_NDIM])
{
    const int n = bs_parse_sizes(shape, "a shape", dim);
    for (int d = 0; d < n; d++)
        if (dim[d] < 0) {
            PyErr_Format(PyExc_ValueError, "a size must not be negative, got %R", shape);
            return -1;
        }
    return n;
}

int64_t bs_bytes_of(bs_dtype dtype, int ndim, const int64_t *dim)
{
    int64_t bytes = (int64_t)bs_dtype_size(dtype);
    int is_empty = 0, fits = 1;
    for (int d = 0; d < ndim && fits; d++) {
        is_empty |= dim[d] == 0;
        fits = dim[d] == 0 || !__builtin_mul_overflow(bytes, dim[d], &bytes);
    }
    if (!fits) {
        char text[120];
        bs_dims_text(text, sizeof text, ndim, dim);
        PyErr_Format(PyExc_MemoryError, "an array of the shape %s is too large for any memory",
                     text);
        return -1;
    }
    return is_empty ? 0 : bytes;
}

void bs_packed_strides(int ndim, const int64_t *dim, int64_t *stride)
{
    int64_t step = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        stride[d] = step;
        step *= dim[d] > 0 ? dim[d] : 1;
    }
}

/* ---- making ---- */

static gpu_array *make(bs_device *device, bs_block *block, PyObject *owner, void *data,
                       bs_dtype dtype, int ndim, const int64_t *dim)
{
    PyTypeObject *type = bs_the_core.gpu_array_type;
    gpu_array *a = (gpu_array *)type->tp_alloc(type, 0);
    if (!a)
        return NULL;
    a->device = bs_device_retain(device);
    a->block = bs_block_retain(block);
    a->owner = Py_XNewRef(owner);
    a->data = data;
    a->dtype = dtype;
    a->ndim = ndim;
    memcpy(a->dim, dim, (size_t)ndim * sizeof *dim);
    bs_packed_strides(ndim, dim, a->stride);
    return a;
}

gpu_array *bs_gpu_array_of(const bs_array *array, bs_block *block, bs_device *device)
{
    gpu_array *a = make(device, block, NULL, array->data, (bs_dtype)array->dtype, array->ndim,
                        array->dim);
    int64_t stride = array->pitch;
    for (int d = array->lead - 1; a && d >= 0; d--) {
        a->stride[d] = stride;
        stride *= array->dim[d];
    }
    return a;
}

gpu_array *bs_gpu_array_new(bs_device *device, bs_dtype dtype, int ndim, const int64_t *dim)
{
    const int64_t bytes = bs_bytes_of(dtype, ndim, dim);
    if (bytes < 0)
        return NULL;
    bs_error err = {0};
    bs_block *block = device->allocate(device, (size_t)bytes, &err);
    if (!block) {
        bs_error_prefix(&err, "no memory for %lld bytes on the device", (long long)bytes);
        return (gpu_array *)bs_raise(&err);
    }
    gpu_array *a = make(device, block, NULL, block->data, dtype, ndim, dim);
    bs_block_release(block);
    return a;
}

gpu_array *bs_gpu_array_view(const gpu_array *a)
{
    gpu_array *view = make(a->device, a->block, a->owner, a->data, a->dtype, a->ndim, a->dim);
    if (view) {
        memcpy(view->stride, a->stride, sizeof a->stride);
        view->read_only = a->read_only;
    }
    return view;
}

static void dealloc(PyObject *self)
{
    gpu_array *a = (gpu_array *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (a->owner) /* who may free the memory that our work is reading */
        bs_gpu_array_finish(a, NULL);
    bs_block_release(a->block);
    bs_device_release(a->device);
    Py_XDECREF(a->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- questions ---- */

int64_t bs_gpu_array_size(const gpu_array *a)
{
    int64_t n = 1;
    for (int d = 0; d < a->ndim; d++)
        n *= a->dim[d];
    return n;
}

PyObject *bs_gpu_array_shape(const gpu_array *a)
{
    PyObject *shape = PyTuple_New(a->ndim);
    for (int d = 0; shape && d < a->ndim; d++) {
        PyObject *n = PyLong_FromLongLong(a->dim[d]);
        if (!n)
            Py_CLEAR(shape);
        else
            PyTuple_SET_ITEM(shape, d, n);
    }
    return shape;
}

int bs_gpu_array_express(const gpu_array *a, bs_array *out)
{
    return bs_express(a->data, a->dtype, a->ndim, a->dim, a->stride, out);
}

void bs_gpu_array_stretch(const gpu_array *a, int64_t *first, int64_t *end)
{
    *first = 0;
    *end = 1;
    for (int d = 0; d < a->ndim; d++)
        *(a->stride[d] < 0 ? first : end) += (a->dim[d] - 1) * a->stride[d];
}

int bs_gpu_arrays_overlap(const gpu_array *a, const gpu_array *b)
{
    int64_t a_first, a_end, b_first, b_end;
    const int64_t a_size = (int64_t)bs_dtype_size(a->dtype),
                  b_size = (int64_t)bs_dtype_size(b->dtype);
    if (bs_gpu_array_size(a) == 0 || bs_gpu_array_size(b) == 0)
        return 0;
    if (a->data == b->data && a->dtype == b->dtype && a->ndim == b->ndim &&
        memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof a->dim[0]) == 0 &&
        memcmp(a->stride, b->stride, (size_t)a->ndim * sizeof a->stride[0]) == 0)
        return 0;
    bs_gpu_array_stretch(a, &a_first, &a_end);
    bs_gpu_array_stretch(b, &b_first, &b_end);
    return a->data + a_first * a_size < b->data + b_end * b_size &&
           b->data + b_first * b_size < a->data + a_end * a_size;
}

int bs_gpu_array_require_shape(const gpu_array *a, const gpu_array *b, const char *what)
{
    if (a->ndim == b->ndim && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof a->dim[0]) == 0)
        return 0;
    PyObject *one = bs_gpu_array_shape(a), *other = bs_gpu_array_shape(b);
    if (one && other)
        PyErr_Format(PyExc_ValueError, "%s: arrays of shapes %S and %S", what, one, other);
    Py_XDECREF(one);
    Py_XDECREF(other);
    return -1;
}

int bs_gpu_array_require_writable(const gpu_array *a)
{
    if (!a->read_only)
        return 0;
    PyErr_SetString(PyExc_ValueError, "this GpuArray is read-only");
    return -1;
}

static PyObject *get_shape(PyObject *self, void *unused)
{
    (void)unused;
    return bs_gpu_array_shape((gpu_array *)self);
}

static PyObject *get_strides(PyObject *self, void *unused)
{
    const gpu_array *a = (gpu_array *)self;
    PyObject *strides = PyTuple_New(a->ndim);
    (void)unused;
    for (int d = 0; strides && d < a->ndim; d++) {
        PyObject *n = PyLong_FromLongLong(a->stride[d] * (int64_t)bs_dtype_size(a->dtype));
        if (!n)
            Py_CLEAR(strides);
        else
            PyTuple_SET_ITEM(strides, d, n);
    }
    return strides;
}

static PyObject *get_dtype(PyObject *self, void *unused)
{
    (void)unused;
    return (PyObject *)PyArray_DescrFromType(((gpu_array *)self)->dtype == BS_F64 ? NPY_DOUBLE
                                                                                  : NPY_FLOAT);
}

static PyObject *get_ndim(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(((gpu_array *)self)->ndim);
}

static PyObject *get_size(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(bs_gpu_array_size((gpu_array *)self));
}

static PyObject *get_nbytes(PyObject *self, void *unused)
{
    const gpu_array *a = (gpu_array *)self;
    (void)unused;
    return PyLong_FromLongLong(bs_gpu_array_size(a) * (int64_t)bs_dtype_size(a->dtype));
}

static PyObject *get_itemsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(bs_dtype_size(((gpu_array *)self)->dtype));
}

static PyObject *get_ptr(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(((gpu_array *)self)->data);
}

static Py_ssize_t length(PyObject *self)
{
    const gpu_array *a = (gpu_array *)self;
    if (a->ndim > 0)
        return (Py_ssize_t)a->dim[0];
    PyErr_SetString(PyExc_TypeError, "len() of an array without dimensions");
    return -1;
}

static PyObject *repr(PyObject *self)
{
    PyObject *host = bs_gpu_array_get((gpu_array *)self);
    PyObject *text = host ? PyUnicode_FromFormat("GpuArray(%R)", host) : NULL;
    Py_XDECREF(host);
    return text;
}

/* ---- methods ---- */

static PyObject *get(PyObject *self, PyObject *unused)
{
    (void)unused;
    return bs_gpu_array_get((gpu_array *)self);
}

static PyObject *set(PyObject *self, PyObject *value)
{
    if (bs_gpu_array_set((gpu_array *)self, value) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *fill(PyObject *self, PyObject *value)
{
    if (!PyNumber_Check(value) || PySequence_Check(value)) {
        PyErr_Format(PyExc_TypeError, "fill() takes a number, not %R", value);
        return NULL;
    }
    return set(self, value);
}

static PyObject *copy(PyObject *self, PyObject *unused)
{
    const gpu_array *a = (gpu_array *)self;
    (void)unused;
    return (PyObject *)bs_gpu_array_packed(a, a->device, a->dtype);
}

static PyObject *astype(PyObject *self, PyObject *dtype)
{
    const gpu_array *a = (gpu_array *)self;
    const int wanted = bs_dtype_of(dtype);
    return wanted < 0 ? NULL : (PyObject *)bs_gpu_array_packed(a, a->device, (bs_dtype)wanted);
}

static PyObject *reshape(PyObject *self, PyObject *args)
{
    PyObject *shape = PyTuple_GET_SIZE(args) == 1 && !PyIndex_Check(PyTuple_GET_ITEM(args, 0))
                          ? PyTuple_GET_ITEM(args, 0)
                          : args;
    return bs_gpu_array_reshape(self, shape);
}

/* __array__(dtype=None, copy=None) */
static PyObject *to_array(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"dtype", "copy", NULL};
    PyObject *dtype = Py_None, *copies = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:__array__", names, &dtype, &copies))
        return NULL;
    if (copies == Py_False)
        return PyErr_Format(PyExc_ValueError, "an array of a device is always copied to the host");
    PyObject *host = bs_gpu_array_get((gpu_array *)self);
    if (!host || dtype == Py_None)
        return host;
    PyObject *cast = PyObject_CallMethod(host, "astype", "O", dtype);
    Py_DECREF(host);
    return cast;
}

static PyMethodDef methods[] = {
    {"get", get, METH_NOARGS, "get()\n--\n\nA numpy array with its numbers."},
    {"set", set, METH_O, "set(ary)\n--\n\nCopy numbers of the host into it."},
    {"fill", fill, METH_O, "fill(value)\n--\n\nSet all numbers to one."},
    {"copy", copy, METH_NOARGS, "copy()\n--\n\nA new array with its numbers."},
    {"astype", astype, METH_O,
     "astype(dtype)\n--\n\nA new array with its numbers in float32 or float64."},
    {"reshape", reshape, METH_VARARGS,
     "reshape(*shape)\n--\n\nA view with another shape; one number may be -1."},
    {"__array__", (PyCFunction)(void (*)(void))to_array, METH_VARARGS | METH_KEYWORDS,
     "A copy on the host."},
    {"__dlpack__", (PyCFunction)(void (*)(void))bs_gpu_dlpack, METH_VARARGS | METH_KEYWORDS,
     "The memory, for other libraries."},
    {"__dlpack_device__", bs_gpu_dlpack_device, METH_NOARGS, "(2, number of the GPU)."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"shape", get_shape, NULL, "The dimensions, a tuple.", NULL},
    {"strides", get_strides, NULL, "Bytes from one element to the next, for each dimension.", NULL},
    {"dtype", get_dtype, NULL, "numpy.dtype('float32') or numpy.dtype('float64').", NULL},
    {"ndim", get_ndim, NULL, "Number of dimensions.", NULL},
    {"size", get_size, NULL, "Number of elements.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes of all elements.", NULL},
    {"itemsize", get_itemsize, NULL, "Bytes of an element.", NULL},
    {"ptr", get_ptr, NULL, "Address on the device.", NULL},
    {"gpudata", get_ptr, NULL, "Address on the device.", NULL},
    {"__cuda_array_interface__", bs_gpu_interface, NULL, "The memory, for other libraries.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static int assign(PyObject *self, PyObject *key, PyObject *value)
{
    PyObject *part;
    int result = -1;
    if (!value) {
        PyErr_SetString(PyExc_TypeError, "elements of an array cannot be deleted");
        return -1;
    }
    part = bs_gpu_array_item(self, key);
    if (part)
        result = bs_gpu_array_set((gpu_array *)part, value);
    Py_XDECREF(part);
    return result;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "A view of numbers in the memory of a GPU. A PyCudaHandler makes them."},
    {Py_tp_dealloc, dealloc},
    {Py_tp_repr, repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {Py_mp_length, length},
    {Py_mp_subscript, bs_gpu_array_item},
    {Py_mp_ass_subscript, assign},
    {0, NULL},
};

int bs_gpu_array_type_add(PyObject *module)
{
    enum { MAX_SLOTS = 40 };
    static PyType_Slot all[MAX_SLOTS];
    int n = 0;
    for (const PyType_Slot *s = slots; s->slot; s++)
        all[n++] = *s;
    for (const PyType_Slot *s = bs_gpu_number_slots; s->slot; s++)
        all[n++] = *s;
    BS_ASSERT(n < MAX_SLOTS);
    PyType_Spec spec = {.name = "brainstorm._core.GpuArray",
                        .basicsize = sizeof(gpu_array),
                        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                        .slots = all};
    bs_the_core.gpu_array_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    if (!bs_the_core.gpu_array_type ||
        PyObject_SetAttrString((PyObject *)bs_the_core.gpu_array_type, "__array_ufunc__", Py_None) <
            0) /* NumPy leaves arithmetic to us */
        return -1;
    return PyModule_AddType(module, bs_the_core.gpu_array_type);
}
