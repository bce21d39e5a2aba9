/* gpu_copy.c - numbers of a GpuArray on the host and back. Where its strides are not those of the
 * engine, the whole stretch of memory that it lies in is copied. */
#include "python/gpu_array.h"

#include "python/convert.h"
#include "python/numpy_api.h"

static int type_number(bs_dtype dtype)
{
    return dtype == BS_F64 ? NPY_DOUBLE : NPY_FLOAT;
}

static PyObject *new_host(const gpu_array *a)
{
    npy_intp dim[BS_MAX_NDIM];
    for (int d = 0; d < a->ndim; d++)
        dim[d] = (npy_intp)a->dim[d];
    return PyArray_SimpleNew(a->ndim, dim, type_number(a->dtype));
}

/* Runs device->read or device->write without the GIL. */
static int transfer(const gpu_array *a, const bs_array *array, void *host, int to_host)
{
    bs_error err = {0};
    bs_status status;
    Py_BEGIN_ALLOW_THREADS
    status = to_host ? a->device->read(a->device, array, host, &err)
                     : a->device->write(a->device, array, host, &err);
    Py_END_ALLOW_THREADS
    if (status != BS_OK)
        bs_raise(&err);
    return status == BS_OK ? 0 : -1;
}

/* The stretch of memory from the first to the last element, and the same elements of a packed copy
 * of it, an ndarray. */
typedef struct stretch {
    bs_array array;
    PyObject *host, *elements;
} stretch;

static int open_stretch(stretch *s, const gpu_array *a)
{
    int64_t first, end;
    npy_intp dim[BS_MAX_NDIM], stride[BS_MAX_NDIM];
    const int64_t size = (int64_t)bs_dtype_size(a->dtype);
    bs_gpu_array_stretch(a, &first, &end);
    for (int d = 0; d < a->ndim; d++) {
        dim[d] = (npy_intp)a->dim[d];
        stride[d] = (npy_intp)(a->stride[d] * size);
    }
    const int64_t length = end - first;
    const npy_intp count = (npy_intp)length;
    s->array = bs_array_packed(a->data + first * size, a->dtype, 1, &length);
    s->elements = NULL;
    s->host = PyArray_SimpleNew(1, &count, type_number(a->dtype));
    if (!s->host || transfer(a, &s->array, PyArray_DATA((PyArrayObject *)s->host), 1) < 0)
        return -1;
    s->elements = PyArray_New(&PyArray_Type, a->ndim, dim, type_number(a->dtype), stride,
                              PyArray_BYTES((PyArrayObject *)s->host) - first * size, 0,
                              NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, NULL);
    return s->elements ? 0 : -1;
}

static void close_stretch(stretch *s)
{
    Py_XDECREF(s->elements);
    Py_XDECREF(s->host);
}

PyObject *bs_gpu_array_get(const gpu_array *a)
{
    PyObject *out = new_host(a);
    bs_array array;
    stretch s = {.host = NULL};
    int result = 0;
    if (!out || bs_gpu_array_size(a) == 0)
        return out;
    if (bs_gpu_array_express(a, &array)) {
        result = transfer(a, &array, PyArray_DATA((PyArrayObject *)out), 1);
    } else {
        result = open_stretch(&s, a);
        if (result == 0)
            result = PyArray_CopyInto((PyArrayObject *)out, (PyArrayObject *)s.elements);
        close_stretch(&s);
    }
    if (result < 0)
        Py_CLEAR(out);
    return out;
}

/* Numbers of the host, packed, in the shape and dtype of a. */
static int set_from_host(const gpu_array *a, PyObject *value)
{
    PyObject *host = new_host(a), *source = NULL;
    bs_array array;
    stretch s = {.host = NULL};
    int result = -1;
    if (host && (source = PyArray_FROM_O(value)) != NULL && !bs_holds_real_numbers(source))
        PyErr_Format(PyExc_TypeError, "a GpuArray holds real numbers, it cannot be set from %R",
                     value);
    else if (source)
        result = PyArray_CopyInto((PyArrayObject *)host, (PyArrayObject *)source);
    if (result == 0 && bs_gpu_array_size(a) > 0) {
        if (bs_gpu_array_express(a, &array)) {
            result = transfer(a, &array, PyArray_DATA((PyArrayObject *)host), 0);
        } else {
            result = open_stretch(&s, a);
            if (result == 0)
                result = PyArray_CopyInto((PyArrayObject *)s.elements, (PyArrayObject *)host);
            if (result == 0)
                result = transfer(a, &s.array, PyArray_DATA((PyArrayObject *)s.host), 0);
            close_stretch(&s);
        }
    }
    Py_XDECREF(source);
    Py_XDECREF(host);
    return result;
}

/* Copies from one array of a device to another one of the same shape, without the host. Returns 1
 * if that could not be done. */
static int copy_on_device(const gpu_array *from, const gpu_array *to)
{
    bs_array source, dest;
    bs_handler h;
    if (from->device->options.number != to->device->options.number || from->dtype != to->dtype ||
        to->dtype != to->device->dtype || !bs_gpu_array_express(from, &source) ||
        !bs_gpu_array_express(to, &dest) || !bs_same_shape(&source, &dest) ||
        bs_overlaps(&source, &dest))
        return 1;
    bs_handler_init(&h, to->device, NULL);
    bs_copy_to(&h, &source, &dest);
    bs_handler_close(&h);
    return h.error.code == BS_OK ? 0 : (bs_raise(&h.error), -1);
}

/* Sets all of an array to a number, likewise. */
static int fill_on_device(const gpu_array *a, PyObject *value)
{
    bs_array array;
    bs_handler h;
    if ((!PyFloat_Check(value) && !PyLong_Check(value)) || a->dtype != a->device->dtype ||
        !bs_gpu_array_express(a, &array))
        return 1;
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred())
        return -1;
    bs_handler_init(&h, a->device, NULL);
    bs_fill(&h, &array, number);
    bs_handler_close(&h);
    return h.error.code == BS_OK ? 0 : (bs_raise(&h.error), -1);
}

int bs_gpu_array_set(const gpu_array *a, PyObject *value)
{
    if (bs_gpu_array_require_writable(a) < 0)
        return -1;
    const int result = bs_is_gpu_array(value) ? copy_on_device((gpu_array *)value, a)
                                              : fill_on_device(a, value);
    return result <= 0 ? result : set_from_host(a, value);
}

gpu_array *bs_gpu_array_packed(const gpu_array *a, bs_device *device, bs_dtype dtype)
{
    gpu_array *out = bs_gpu_array_new(device, dtype, a->ndim, a->dim);
    if (out && bs_gpu_array_set(out, (PyObject *)a) < 0)
        Py_CLEAR(out);
    return out;
}
