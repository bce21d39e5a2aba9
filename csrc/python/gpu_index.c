/* gpu_index.c - views of a GpuArray: by integers, slices and ..., and in another shape. */
#include "python/gpu_array.h"

/* ---- indexing ---- */

/* Where the next part of a key applies: dimension `from` of a becomes dimension `to` of the view.
 */
typedef struct cursor {
    const gpu_array *a;
    gpu_array *view;
    int from, to;
} cursor;

static int take_integer(cursor *c, PyObject *key)
{
    const gpu_array *a = c->a;
    Py_ssize_t i = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred())
        return -1;
    if (i < -a->dim[c->from] || i >= a->dim[c->from]) {
        PyErr_Format(PyExc_IndexError, "index %zd is out of range for dimension %d of size %lld", i,
                     c->from, (long long)a->dim[c->from]);
        return -1;
    }
    i += i < 0 ? (Py_ssize_t)a->dim[c->from] : 0;
    c->view->data += i * a->stride[c->from] * (int64_t)bs_dtype_size(a->dtype);
    c->from++;
    return 0;
}

static int take_slice(cursor *c, PyObject *key)
{
    const gpu_array *a = c->a;
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(key, &start, &stop, &step) < 0)
        return -1;
    const Py_ssize_t n = PySlice_AdjustIndices((Py_ssize_t)a->dim[c->from], &start, &stop, step);
    if (n > 0)
        c->view->data += start * a->stride[c->from] * (int64_t)bs_dtype_size(a->dtype);
    c->view->dim[c->to] = n;
    c->view->stride[c->to++] = a->stride[c->from++] * (n > 1 ? step : 1); /* step: of any size */
    return 0;
}

static void take_whole(cursor *c, int n)
{
    for (; n > 0; n--) {
        c->view->dim[c->to] = c->a->dim[c->from];
        c->view->stride[c->to++] = c->a->stride[c->from++];
    }
}

static int take(cursor *c, PyObject *key, int n_given)
{
    if (key == Py_Ellipsis) {
        take_whole(c, c->a->ndim - n_given);
        return 0;
    }
    if (PySlice_Check(key))
        return take_slice(c, key);
    if (PyIndex_Check(key) && !PyBool_Check(key))
        return take_integer(c, key);
    PyErr_Format(PyExc_IndexError, "a GpuArray is indexed by integers, slices and ..., not by %R",
                 key);
    return -1;
}

PyObject *bs_gpu_array_item(PyObject *self, PyObject *key)
{
    const gpu_array *a = (gpu_array *)self;
    PyObject *keys = PyTuple_Check(key) ? Py_NewRef(key) : PyTuple_Pack(1, key);
    cursor c = {.a = a, .view = keys ? bs_gpu_array_view(a) : NULL};
    const Py_ssize_t n = keys ? PyTuple_GET_SIZE(keys) : 0;
    int given = 0, dots = 0, result = c.view ? 0 : -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        dots += PyTuple_GET_ITEM(keys, i) == Py_Ellipsis;
        given += PyTuple_GET_ITEM(keys, i) != Py_Ellipsis;
    }
    if (result == 0 && (dots > 1 || given > a->ndim)) {
        PyErr_Format(PyExc_IndexError, "the index %R does not fit an array of %d dimensions", key,
                     a->ndim);
        result = -1;
    }
    for (Py_ssize_t i = 0; i < n && result == 0; i++)
        result = take(&c, PyTuple_GET_ITEM(keys, i), given);
    if (result == 0) {
        take_whole(&c, a->ndim - c.from);
        c.view->ndim = c.to;
    }
    Py_XDECREF(keys);
    if (result < 0)
        Py_CLEAR(c.view);
    return (PyObject *)c.view;
}

/* ---- another shape ---- */

/* The shape that a is to have; one number of it may be -1. */
static int parse_shape(const gpu_array *a, PyObject *shape, int64_t dim[BS_MAX_NDIM])
{
    const int n = bs_parse_sizes(shape, "a shape", dim);
    const int64_t size = bs_gpu_array_size(a);
    int64_t known = 1; /* product of all numbers but -1 */
    int open = -1, good = n >= 0;
    for (int d = 0; good && d < n; d++)
        if (dim[d] == -1 && open < 0)
            open = d;
        else
            good = dim[d] >= 0 && !__builtin_mul_overflow(known, dim[d], &known);
    if (good && open >= 0) {
        good = known > 0 && size % known == 0;
        dim[open] = good ? size / known : 0;
    } else {
        good = good && known == size;
    }
    if (n >= 0 && !good)
        PyErr_Format(PyExc_ValueError, "an array of %lld elements cannot have the shape %R",
                     (long long)size, shape);
    return good && bs_bytes_of(a->dtype, n, dim) >= 0 ? n : -1;
}

/* Strides of the new shape, where it needs no copy: dimensions that the two have in common are
 * matched from the left, group by group. Returns 0 if it does. */
static int find_strides(const gpu_array *a, int ndim, const int64_t *dim, int64_t *stride)
{
    int64_t old[BS_MAX_NDIM], old_stride[BS_MAX_NDIM];
    int n = 0, i = 0, j = 0;
    for (int d = 0; d < a->ndim; d++)
        if (a->dim[d] != 1) {
            old[n] = a->dim[d];
            old_stride[n++] = a->stride[d];
        }
    while (i < n && j < ndim) {
        int64_t size = old[i], wanted = dim[j];
        int i_end = i + 1, j_end = j + 1;
        while (size != wanted) {
            if (size < wanted && i_end < n)
                size *= old[i_end++];
            else if (size > wanted && j_end < ndim)
                wanted *= dim[j_end++];
            else
                return 0;
        }
        for (int k = i; k + 1 < i_end; k++)
            if (old_stride[k] != old_stride[k + 1] * old[k + 1])
                return 0;
        stride[j_end - 1] = old_stride[i_end - 1];
        for (int k = j_end - 2; k >= j; k--)
            stride[k] = stride[k + 1] * dim[k + 1];
        i = i_end;
        j = j_end;
    }
    for (; j < ndim; j++)
        stride[j] = 1; /* what is left are dimensions of size 1 */
    return i == n;
}

PyObject *bs_gpu_array_reshape(PyObject *self, PyObject *shape)
{
    const gpu_array *a = (gpu_array *)self;
    int64_t dim[BS_MAX_NDIM], stride[BS_MAX_NDIM];
    const int ndim = parse_shape(a, shape, dim);
    if (ndim < 0)
        return NULL;
    if (bs_gpu_array_size(a) == 0) {
        bs_packed_strides(ndim, dim, stride);
    } else if (!find_strides(a, ndim, dim, stride)) {
        return PyErr_Format(PyExc_ValueError,
                            "a view of these strides cannot have the shape %R without a copy: "
                            "copy() it before",
                            shape);
    }
    gpu_array *view = bs_gpu_array_view(a);
    if (!view)
        return NULL;
    view->ndim = ndim;
    memcpy(view->dim, dim, sizeof dim);
    memcpy(view->stride, stride, sizeof stride);
    return (PyObject *)view;
}
