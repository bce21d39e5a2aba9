/* convert.c - see convert.h. */
#include "python/convert.h"

#include "python/gpu_array.h"
#include "python/numpy_api.h"

static int type_number(bs_dtype dtype)
{
    return dtype == BS_F64 ? NPY_DOUBLE : NPY_FLOAT;
}

int bs_holds_real_numbers(PyObject *array)
{
    const int type = PyArray_TYPE((PyArrayObject *)array);
    return PyTypeNum_ISBOOL(type) || PyTypeNum_ISINTEGER(type) || PyTypeNum_ISFLOAT(type);
}

int bs_dtype_of(PyObject *value)
{
    PyArray_Descr *descr = NULL; /* stays so for None, which NumPy takes for float64 */
    int dtype = -1;
    if (value != Py_None && !PyArray_DescrConverter(value, &descr))
        return -1;
    if (descr && PyDataType_ISNOTSWAPPED(descr) && descr->type_num == NPY_FLOAT)
        dtype = BS_F32;
    else if (descr && PyDataType_ISNOTSWAPPED(descr) && descr->type_num == NPY_DOUBLE)
        dtype = BS_F64;
    else
        PyErr_Format(PyExc_TypeError, "dtype must be float32 or float64, not %R", value);
    Py_XDECREF(descr);
    return dtype;
}

int bs_express(void *data, bs_dtype dtype, int ndim, const int64_t *dim, const int64_t *stride,
               bs_array *out)
{
    int lead = ndim;
    int64_t packed = 1, expected, pitch = 0, size = 1;
    *out = (bs_array){.data = data, .ndim = (int8_t)ndim, .dtype = (int8_t)dtype};
    for (int d = 0; d < ndim; d++) {
        out->dim[d] = dim[d];
        size *= dim[d];
    }
    while (lead > 0 && (dim[lead - 1] == 1 || stride[lead - 1] == packed))
        packed *= dim[--lead];
    if (size == 0)
        lead = 0;
    if (lead == ndim && ndim > 0)
        return 0; /* a row of one element each: matrices want the last dimension packed */
    out->lead = (int8_t)lead;
    out->pitch = bs_cols(out);
    if (lead == 0)
        return 1;
    expected = 0;
    for (int d = lead - 1; d >= 0; d--) {
        if (dim[d] == 1)
            continue;
        if (expected == 0)
            pitch = expected = stride[d];
        if (stride[d] != expected || pitch < packed)
            return 0;
        expected *= dim[d];
    }
    out->pitch = pitch > packed ? pitch : packed;
    return 1;
}

/* An ndarray of numbers of that dtype. */
static int express(PyArrayObject *a, bs_dtype dtype, bs_array *out)
{
    int64_t dim[BS_MAX_NDIM], stride[BS_MAX_NDIM];
    const npy_intp size = PyArray_ITEMSIZE(a);
    for (int d = 0; d < PyArray_NDIM(a); d++) {
        if (PyArray_STRIDE(a, d) % size)
            return 0; /* not on the grid of its elements */
        dim[d] = PyArray_DIM(a, d);
        stride[d] = PyArray_STRIDE(a, d) / size;
    }
    return bs_express(PyArray_DATA(a), dtype, PyArray_NDIM(a), dim, stride, out);
}

/* More dimensions than the engine has: the first ones are folded into one. a is C-contiguous. */
static void fold(PyArrayObject *a, bs_array *out)
{
    const int surplus = PyArray_NDIM(a) - BS_MAX_NDIM;
    int64_t dim[BS_MAX_NDIM];
    dim[0] = 1;
    for (int d = 0; d <= surplus; d++)
        dim[0] *= PyArray_DIM(a, d);
    for (int d = 1; d < BS_MAX_NDIM; d++)
        dim[d] = PyArray_DIM(a, d + surplus);
    *out = bs_array_packed(PyArray_DATA(a), BS_F32, BS_MAX_NDIM, dim);
}

static int describe(PyArrayObject *a, bs_dtype dtype, bs_array *out)
{
    if (PyArray_TYPE(a) != type_number(dtype) || !PyArray_ISBEHAVED_RO(a))
        return 0;
    if (PyArray_NDIM(a) > BS_MAX_NDIM) {
        if (!PyArray_IS_C_CONTIGUOUS(a))
            return 0;
        fold(a, out);
    } else if (!express(a, dtype, out)) {
        return 0;
    }
    out->dtype = (int8_t)dtype;
    return 1;
}

static PyObject *given_array(PyObject *value, bs_arg_kind kind, const char *op, const char *name)
{
    if (kind == BS_ARG_IN)
        return PyArray_FROM_O(value);
    if (!PyArray_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s: '%s' must be a numpy array, not %.100s", op, name,
                     Py_TYPE(value)->tp_name);
        return NULL;
    }
    if (!PyArray_ISWRITEABLE((PyArrayObject *)value)) {
        PyErr_Format(PyExc_ValueError, "%s: '%s' is read-only", op, name);
        return NULL;
    }
    return Py_NewRef(value);
}

static int open_numpy(bs_argument *argument, bs_array *array, PyObject *value, bs_dtype dtype,
                      bs_arg_kind kind, const char *op, const char *name)
{
    *argument = (bs_argument){.given = given_array(value, kind, op, name)};
    if (!argument->given)
        return -1;
    PyArrayObject *given = (PyArrayObject *)argument->given;
    if (!bs_holds_real_numbers(argument->given)) {
        PyErr_Format(PyExc_TypeError, "%s: '%s' has dtype %S, operations take real numbers", op,
                     name, PyArray_DESCR(given));
        return -1;
    }
    if (describe(given, dtype, array)) {
        argument->used = Py_NewRef(argument->given);
        return 0;
    }
    argument->used = PyArray_FromArray(given, PyArray_DescrFromType(type_number(dtype)),
                                       NPY_ARRAY_CARRAY | NPY_ARRAY_ENSURECOPY |
                                           NPY_ARRAY_FORCECAST);
    if (!argument->used)
        return -1;
    argument->writes = kind != BS_ARG_IN;
    const int packed = describe((PyArrayObject *)argument->used, dtype, array);
    BS_ASSERT(packed);
    return 0;
}

/* A GpuArray of the dtype that the engine can express, or a packed copy of anything else. */
static int open_gpu(bs_argument *argument, bs_array *array, PyObject *value, bs_device *device,
                    bs_arg_kind kind, const char *op, const char *name)
{
    if (!bs_is_gpu_array(value)) {
        bs_array numbers;
        if (kind != BS_ARG_IN) {
            PyErr_Format(PyExc_TypeError, "%s: '%s' must be a GpuArray, not %.100s", op, name,
                         Py_TYPE(value)->tp_name);
            return -1;
        }
        argument->given = bs_packed_from_python(value, device->dtype, &numbers);
        gpu_array *copy = argument->given
                              ? bs_gpu_array_new(device, device->dtype, numbers.ndim, numbers.dim)
                              : NULL;
        argument->used = (PyObject *)copy;
        return copy && bs_gpu_array_set(copy, argument->given) == 0
                   ? bs_gpu_array_express(copy, array) - 1
                   : -1;
    }
    const gpu_array *given = (gpu_array *)value;
    if (kind != BS_ARG_IN && given->read_only) {
        PyErr_Format(PyExc_ValueError, "%s: '%s' is read-only", op, name);
        return -1;
    }
    if (given->device->memory->type != device->memory->type ||
        given->device->options.number != device->options.number) {
        PyErr_Format(PyExc_ValueError, "%s: '%s' lives on another device", op, name);
        return -1;
    }
    argument->given = Py_NewRef(value);
    if (given->dtype == device->dtype && bs_gpu_array_express(given, array)) {
        argument->used = Py_NewRef(value);
        return 0;
    }
    argument->used = (PyObject *)bs_gpu_array_packed(given, device, device->dtype);
    argument->writes = kind != BS_ARG_IN;
    return argument->used ? bs_gpu_array_express((gpu_array *)argument->used, array) - 1 : -1;
}

int bs_argument_open(bs_argument *argument, bs_array *array, PyObject *value, bs_device *device,
                     bs_arg_kind kind, const char *op, const char *name)
{
    *argument = (bs_argument){.given = NULL};
    return device->type->host_memory
               ? open_numpy(argument, array, value, device->dtype, kind, op, name)
               : open_gpu(argument, array, value, device, kind, op, name);
}

int bs_argument_write_back(bs_argument *argument)
{
    if (!argument->writes)
        return 0;
    if (bs_is_gpu_array(argument->given))
        return bs_gpu_array_set((gpu_array *)argument->given, argument->used);
    return PyArray_CopyInto((PyArrayObject *)argument->given, (PyArrayObject *)argument->used);
}

void bs_argument_close(bs_argument *argument)
{
    Py_CLEAR(argument->given);
    Py_CLEAR(argument->used);
}

static int same_array(PyArrayObject *a, PyArrayObject *b)
{
    return PyArray_DATA(a) == PyArray_DATA(b) && PyArray_TYPE(a) == PyArray_TYPE(b) &&
           PyArray_NDIM(a) == PyArray_NDIM(b) &&
           PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), PyArray_NDIM(a)) &&
           PyArray_CompareLists(PyArray_STRIDES(a), PyArray_STRIDES(b), PyArray_NDIM(a));
}

int bs_argument_hidden_overlap(const bs_argument *a, const bs_argument *b)
{
    if (!a->given || !b->given || (a->given == a->used && b->given == b->used))
        return 0;
    if (bs_is_gpu_array(a->used))
        return bs_is_gpu_array(a->given) && bs_is_gpu_array(b->given) &&
               bs_gpu_arrays_overlap((gpu_array *)a->given, (gpu_array *)b->given);
    if (same_array((PyArrayObject *)a->given, (PyArrayObject *)b->given))
        return 0;
    PyObject *answer = PyObject_CallFunctionObjArgs(bs_the_core.shares_memory, a->given, b->given,
                                                    NULL);
    const int shares = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return shares;
}

/* ---- whole arrays ---- */

PyObject *bs_array_to_python(const bs_array *array, bs_block *block, bs_device *device)
{
    return device->type->host_memory ? bs_array_to_numpy(array, block)
                                     : (PyObject *)bs_gpu_array_of(array, block, device);
}

static void release_block(PyObject *capsule)
{
    bs_block_release(PyCapsule_GetPointer(capsule, "bs_block"));
}

PyObject *bs_array_to_numpy(const bs_array *array, bs_block *block)
{
    npy_intp dim[BS_MAX_NDIM], stride[BS_MAX_NDIM], step = (npy_intp)bs_dtype_size(array->dtype);
    for (int d = array->ndim - 1; d >= 0; d--) {
        if (d == array->lead - 1)
            step = (npy_intp)array->pitch * (npy_intp)bs_dtype_size(array->dtype);
        dim[d] = array->dim[d];
        stride[d] = step;
        step *= dim[d];
    }
    PyObject *out = PyArray_New(&PyArray_Type, array->ndim, dim,
                                type_number((bs_dtype)array->dtype), stride, array->data, 0,
                                NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, NULL);
    if (!out || !block)
        return out;
    PyObject *capsule = PyCapsule_New(block, "bs_block", release_block);
    if (!capsule) {
        Py_DECREF(out);
        return NULL;
    }
    bs_block_retain(block);
    if (PyArray_SetBaseObject((PyArrayObject *)out, capsule) <
        0) /* takes the capsule, also when it fails */
        Py_CLEAR(out);
    return out;
}

PyObject *bs_packed_from_python(PyObject *value, bs_dtype dtype, bs_array *out)
{
    int64_t dim[BS_MAX_NDIM];
    PyObject *array = PyArray_FromAny(value, PyArray_DescrFromType(type_number(dtype)), 0,
                                      BS_MAX_NDIM, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST, NULL);
    if (!array)
        return NULL;
    const int ndim = PyArray_NDIM((PyArrayObject *)array);
    for (int d = 0; d < ndim; d++)
        dim[d] = PyArray_DIM((PyArrayObject *)array, d);
    *out = bs_array_packed(PyArray_DATA((PyArrayObject *)array), dtype, ndim, dim);
    return array;
}

PyObject *bs_new_packed(const bs_array *like, bs_array *out)
{
    npy_intp dim[BS_MAX_NDIM];
    for (int d = 0; d < like->ndim; d++)
        dim[d] = (npy_intp)like->dim[d];
    PyObject *array = PyArray_SimpleNew(like->ndim, dim, type_number((bs_dtype)like->dtype));
    if (array)
        *out = bs_array_packed(PyArray_DATA((PyArrayObject *)array), (bs_dtype)like->dtype,
                               like->ndim, like->dim);
    return array;
}
