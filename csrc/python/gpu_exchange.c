/* gpu_exchange.c - memory of the device for other libraries and from them, without a copy:
 * __cuda_array_interface__ (version 3), and what it shares with DLPack (gpu_dlpack.c).
 *
 * The engine works on the default stream, so that is the stream that we name. */
#include "python/gpu_array.h"

#include "python/convert.h"
#include "python/numpy_api.h"

enum { DEFAULT_STREAM = 1, DEFAULT_STREAM_OF_THREAD = 2 };

bs_status bs_gpu_array_finish(const gpu_array *a, bs_error *err)
{
    bs_device *memory = a->device->memory;
    return memory->wait_for_stream(memory, NULL, err);
}

int bs_gpu_array_wait(const gpu_array *a)
{
    bs_status status;
    bs_error err = {0};
    Py_BEGIN_ALLOW_THREADS
    status = bs_gpu_array_finish(a, &err);
    Py_END_ALLOW_THREADS
    return status == BS_OK ? 0 : (bs_raise(&err), -1);
}

/* ---- to others ---- */

void bs_gpu_array_show(const gpu_array *a)
{
    if (a->block)
        a->block->is_shown = 1;
}

PyObject *bs_gpu_interface(PyObject *self, void *unused)
{
    const gpu_array *a = (gpu_array *)self;
    const int is_empty = bs_gpu_array_size(a) == 0; /* such arrays have no address */
    PyObject *shape = bs_gpu_array_shape(a), *strides = PyObject_GetAttrString(self, "strides");
    (void)unused;
    if (!shape || !strides) {
        Py_XDECREF(shape);
        Py_XDECREF(strides);
        return NULL;
    }
    bs_gpu_array_show(a);
    return Py_BuildValue(
        "{sNsss(KO)sNsisi}", "shape", shape, "typestr", a->dtype == BS_F64 ? "<f8" : "<f4", "data",
        (unsigned long long)(is_empty ? 0 : (uintptr_t)a->data), a->read_only ? Py_True : Py_False,
        "strides", strides, "version", 3, "stream", DEFAULT_STREAM);
}

/* ---- from others ---- */

/* Whether all elements lie at addresses that exist. */
static int reaches_only_addresses(const gpu_array *a)
{
    const int64_t size = (int64_t)bs_dtype_size(a->dtype);
    int64_t first = (int64_t)(uintptr_t)a->data, end = first, reach;
    for (int d = 0; d < a->ndim; d++)
        if (__builtin_mul_overflow(a->stride[d], a->dim[d] - 1, &reach) ||
            __builtin_mul_overflow(reach, size, &reach) ||
            __builtin_add_overflow(reach < 0 ? first : end, reach, reach < 0 ? &first : &end))
            return 0;
    return first > 0 && first % size == 0 && !__builtin_add_overflow(end, size, &end);
}

gpu_array *bs_gpu_array_adopt(gpu_array *found, int is_packed, PyObject *owner, bs_device *device)
{
    char shape[120];
    bs_error err = {0};
    bs_dims_text(shape, sizeof shape, found->ndim, found->dim);
    for (int d = 0; d < found->ndim; d++)
        if (found->dim[d] < 0) {
            PyErr_Format(PyExc_ValueError,
                         "the array has the shape %s, a size must not be negative", shape);
            return NULL;
        }
    if (bs_bytes_of(found->dtype, found->ndim, found->dim) < 0)
        return NULL;
    if (is_packed || bs_gpu_array_size(found) == 0)
        bs_packed_strides(found->ndim, found->dim, found->stride);
    if (bs_gpu_array_size(found) > 0 && !reaches_only_addresses(found))
        return (gpu_array *)PyErr_Format(PyExc_ValueError,
                                         "the array has the address %p, the shape %s and strides "
                                         "with which it cannot lie in memory",
                                         (void *)found->data, shape);
    if (bs_gpu_array_size(found) > 0 &&
        device->memory->check_memory(device->memory, found->data, &err) != BS_OK)
        return (gpu_array *)bs_raise(&err);
    for (int d = 0; d < found->ndim; d++)
        if (found->dim[d] == 1)
            found->stride[d] = 1; /* which may have been anything */
    found->device = device;
    found->owner = owner;
    return bs_gpu_array_view(found);
}

/* The value of a key, borrowed, or NULL and an exception. */
static PyObject *field(PyObject *interface, const char *key)
{
    PyObject *value = PyDict_GetItemString(interface, key);
    if (!value)
        PyErr_Format(PyExc_ValueError, "__cuda_array_interface__ has no '%s'", key);
    return value;
}

static int parse_type(PyObject *type, gpu_array *a)
{
    const int is_f32 = PyUnicode_Check(type) && PyUnicode_CompareWithASCIIString(type, "<f4") == 0;
    const int is_f64 = PyUnicode_Check(type) && PyUnicode_CompareWithASCIIString(type, "<f8") == 0;
    a->dtype = is_f64 ? BS_F64 : BS_F32;
    if (is_f32 || is_f64)
        return 0;
    PyErr_Format(PyExc_TypeError, "an array of a GPU must be float32 or float64, not %R", type);
    return -1;
}

static int parse_data(PyObject *data, gpu_array *a)
{
    PyObject *address, *read_only;
    if (!bs_parse_item(data,
                       "OO;'data' of __cuda_array_interface__ must be a tuple (address, read-only)",
                       &address, &read_only))
        return -1;
    const unsigned long long at = address == Py_None ? 0 : PyLong_AsUnsignedLongLong(address);
    if (PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "'data' of __cuda_array_interface__ is at no address: %R",
                     data);
        return -1;
    }
    a->data = (char *)(uintptr_t)at;
    a->read_only = PyObject_IsTrue(read_only);
    return a->read_only < 0 ? -1 : 0;
}

/* 1 if there are none, 0 if there are, or -1 and an exception. */
static int parse_strides(PyObject *strides, gpu_array *a)
{
    const int64_t size = (int64_t)bs_dtype_size(a->dtype);
    if (!strides || strides == Py_None)
        return 1;
    int n = bs_parse_sizes(strides, "'strides' of __cuda_array_interface__", a->stride);
    if (n < 0)
        return -1;
    for (int d = 0; d < n; d++) {
        n = a->stride[d] % size ? -1 : n;
        a->stride[d] /= size;
    }
    if (n == a->ndim)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "'strides' of __cuda_array_interface__ must be %d multiples of %d bytes, got %R",
                 a->ndim, (int)size, strides);
    return -1;
}

/* Waits for what others do to the array on a stream that is not ordered with ours. */
static int wait_for_stream(PyObject *stream, bs_device *device)
{
    bs_error err = {0};
    if (!stream || stream == Py_None)
        return 0;
    const unsigned long long at = PyLong_AsUnsignedLongLong(stream);
    if (PyErr_Occurred() || at == 0) {
        PyErr_Format(PyExc_ValueError, "'stream' of __cuda_array_interface__ is no stream: %R",
                     stream);
        return -1;
    }
    bs_device *memory = device->memory;
    if (at == DEFAULT_STREAM || at == DEFAULT_STREAM_OF_THREAD ||
        memory->wait_for_stream(memory, (void *)(uintptr_t)at, &err) == BS_OK)
        return 0;
    bs_raise(&err);
    return -1;
}

static gpu_array *from_interface(PyObject *interface, PyObject *owner, bs_device *device)
{
    gpu_array found = {.ndim = 0};
    PyObject *shape, *type, *data;
    if (!PyDict_Check(interface))
        return (gpu_array *)PyErr_Format(
            PyExc_TypeError, "__cuda_array_interface__ must be a dict, got %R", interface);
    if (!(shape = field(interface, "shape")) || !(type = field(interface, "typestr")) ||
        !(data = field(interface, "data")) || parse_type(type, &found) < 0 ||
        parse_data(data, &found) < 0)
        return NULL;
    PyObject *mask = PyDict_GetItemString(interface, "mask");
    if (mask && mask != Py_None)
        return (gpu_array *)PyErr_Format(PyExc_TypeError, "an array with a mask cannot be used");
    found.ndim = bs_parse_sizes(shape, "'shape' of __cuda_array_interface__", found.dim);
    if (found.ndim < 0)
        return NULL;
    const int is_packed = parse_strides(PyDict_GetItemString(interface, "strides"), &found);
    if (is_packed < 0 || wait_for_stream(PyDict_GetItemString(interface, "stream"), device) < 0)
        return NULL;
    return bs_gpu_array_adopt(&found, is_packed, owner, device);
}

/* An attribute, a new reference; NULL without an exception if there is none. */
static PyObject *optional_attribute(PyObject *object, const char *name)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (!value && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    return value;
}

/* Without the name of a stream it says where memory is, but not when it is ready. */
static int names_no_stream(PyObject *interface)
{
    return PyDict_Check(interface) && !PyDict_GetItemString(interface, "stream");
}

int bs_lies_on_gpu(PyObject *value)
{
    int type = 0, number;
    PyObject *found = optional_attribute(value, "__cuda_array_interface__");
    if (found || PyErr_Occurred()) {
        Py_XDECREF(found);
        return found ? 1 : -1;
    }
    PyObject *method = optional_attribute(value, "__dlpack_device__");
    PyObject *place = method ? PyObject_CallNoArgs(method) : NULL;
    if (place && !bs_parse_item(place, "ii;__dlpack_device__() must be a tuple (type, number)",
                                &type, &number))
        Py_CLEAR(place);
    Py_XDECREF(method);
    Py_XDECREF(place);
    return PyErr_Occurred() ? -1 : type == DL_CUDA;
}

gpu_array *bs_gpu_array_from(PyObject *value, bs_device *device)
{
    gpu_array *out = NULL;
    PyObject *interface = optional_attribute(value, "__cuda_array_interface__"), *method = NULL;
    if (!PyErr_Occurred() && (!interface || names_no_stream(interface)))
        method = optional_attribute(value, "__dlpack__"); /* which orders both sides' work */
    if (method)
        out = bs_gpu_array_from_dlpack(value, device);
    else if (interface && !PyErr_Occurred())
        out = from_interface(interface, value, device);
    else if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError,
                     "create_from takes an array in the memory of the GPU, not %.100s: "
                     "create_from_numpy copies numbers to it",
                     Py_TYPE(value)->tp_name);
    Py_XDECREF(interface);
    Py_XDECREF(method);
    return out;
}
