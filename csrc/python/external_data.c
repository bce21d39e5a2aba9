/* external_data.c - T and B come from the time-sized items, which must agree; an item with T = 1
 * beside longer ones is static and is repeated over the steps; a batch-sized input takes (B, ...)
 * or (1, B, ...), a constant one its own shape. */
#include "python/external_data.h"

#include "python/convert.h"
#include "python/copy_numbers.h"
#include "python/gpu_array.h"

/* One output of the Input layer and what is to be copied there. */
typedef struct item {
    const bs_leaf *leaf;
    int number;      /* of the leaf */
    PyObject *value; /* an ndarray, or a GpuArray for a network on a GPU; owned; NULL: not given */
    int ndim;        /* of the value */
    int64_t dim[BS_MAX_NDIM];
} item;

typedef struct sizes {
    int64_t T, B; /* 0: not known yet */
    const char *T_from, *B_from;
} sizes;

static int fail_shape(const item *it)
{
    char wanted[120];
    PyObject *shape = PyObject_GetAttrString(it->value, "shape");
    bs_shape_text(wanted, sizeof wanted, &it->leaf->shape);
    if (shape)
        PyErr_Format(PyExc_ValueError, "data '%s' has shape %S, expected %s", it->leaf->name, shape,
                     wanted);
    Py_XDECREF(shape);
    return -1;
}

/* Dimensions in front of the features, or -1 if the features do not fit. */
static int leading_dims(const item *it)
{
    const bs_shape *s = &it->leaf->shape;
    const int lead = it->ndim - s->ndim;
    for (int i = 0; lead >= 0 && i < s->ndim; i++)
        if (it->dim[lead + i] != s->dim[i])
            return -1;
    return lead;
}

static int agree(int64_t *size, const char **from, int64_t new, const char *name, const char *what)
{
    if (*size && *size != new) {
        PyErr_Format(PyExc_ValueError, "data '%s' has %lld %s, but '%s' has %lld", name,
                     (long long)new, what, *from, (long long)*size);
        return -1;
    }
    *size = new;
    *from = name;
    return 0;
}

/* Checks one item and takes its T and B into account; static items wait for the T of the others. */
static int measure(item *it, sizes *s)
{
    const int lead = leading_dims(it);
    const char *name = it->leaf->name;
    const bs_scale scale = it->leaf->shape.scale;
    if (scale == BS_FIXED)
        return lead == 0 ? 0 : fail_shape(it);
    if (scale == BS_BATCH && lead == 2 && it->dim[0] == 1) {
        PyObject *first = PyLong_FromLong(0);
        PyObject *view = first ? PyObject_GetItem(it->value, first) : NULL;
        Py_XDECREF(first);
        if (!view)
            return -1;
        Py_SETREF(it->value, view);
        it->ndim--;
        memmove(it->dim, it->dim + 1, (size_t)it->ndim * sizeof it->dim[0]);
    } else if (lead != (scale == BS_TIME ? 2 : 1)) {
        return fail_shape(it);
    }
    const int64_t B = it->dim[scale == BS_TIME ? 1 : 0], T = scale == BS_TIME ? it->dim[0] : 1;
    if (T == 0 || B == 0) {
        PyErr_Format(PyExc_ValueError, "data '%s' is empty: %lld time steps of %lld sequences",
                     name, (long long)T, (long long)B);
        return -1;
    }
    if (T > 1 && agree(&s->T, &s->T_from, T, name, "time steps") < 0)
        return -1;
    return agree(&s->B, &s->B_from, B, name, "sequences");
}

/* An ndarray of numbers or bools, of whatever dtype. */
static PyObject *host_numbers(PyObject *value, const char *name)
{
    PyObject *array = PyArray_FromAny(value, NULL, 0, 0, 0, NULL);
    if (!array)
        return NULL;
    if (!bs_holds_real_numbers(array)) {
        PyErr_Format(PyExc_TypeError, "data '%s' must be an array of real numbers, got dtype %S",
                     name, PyArray_DESCR((PyArrayObject *)array));
        Py_CLEAR(array);
    }
    return array;
}

/* What lies on the device already stays there. */
static PyObject *numbers(PyObject *value, const char *name, bs_device *device)
{
    if (device->type->host_memory || PyArray_Check(value))
        return host_numbers(value, name);
    if (bs_is_gpu_array(value)) /* whose interface is for others */
        return Py_NewRef(value);
    const int is_on_gpu = bs_lies_on_gpu(value);
    if (is_on_gpu < 0)
        return NULL;
    return is_on_gpu ? (PyObject *)bs_gpu_array_from(value, device) : host_numbers(value, name);
}

static int take_shape(item *it)
{
    PyArrayObject *array = (PyArrayObject *)it->value;
    if (bs_is_gpu_array(it->value)) {
        const gpu_array *a = (gpu_array *)it->value;
        it->ndim = a->ndim;
        memcpy(it->dim, a->dim, sizeof it->dim);
        return 0;
    }
    it->ndim = PyArray_NDIM(array);
    if (it->ndim > BS_MAX_NDIM)
        return fail_shape(it);
    for (int d = 0; d < it->ndim; d++)
        it->dim[d] = PyArray_DIM(array, d);
    return 0;
}

static int take_value(item *it, PyObject *data, bs_device *device)
{
    PyObject *value = PyMapping_GetItemString(data, it->leaf->name);
    if (!value) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    it->value = numbers(value, it->leaf->name, device);
    Py_DECREF(value);
    return it->value ? take_shape(it) : -1;
}

/* Others may change or free their memory as soon as this returns. */
static int copy_on_device(const bs_array *array, bs_block *block, bs_device *device,
                          PyObject *source)
{
    gpu_array *dest = bs_gpu_array_of(array, block, device);
    int result = dest ? bs_gpu_array_set(dest, source) : -1;
    if (result == 0 && ((gpu_array *)source)->owner)
        result = bs_gpu_array_wait(dest);
    Py_XDECREF(dest);
    return result;
}

/* Copies the value of an item into its buffer, or zeros if it has none. */
static int copy(bs_network *net, const item *it)
{
    bs_array array;
    bs_block *block;
    bs_device *device = bs_network_device(net);
    bs_error err = {0};
    if (bs_network_array(net, it->number, &array, &block, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    if (it->value && bs_is_gpu_array(it->value))
        return copy_on_device(&array, block, device, it->value);
    PyObject *source = it->value ? Py_NewRef(it->value)
                                 : PyArray_ZEROS(0, NULL, NPY_BOOL, 0); /* which is broadcast */
    const int result = source ? bs_copy_numbers(bs_network_handle(net), &array, block,
                                                (PyArrayObject *)source)
                              : -1;
    Py_XDECREF(source);
    return result;
}

/* All items are known to fit: make room and copy. What is not given stays, or is zero if T or B
 * have changed. */
static int copy_all(bs_network *net, const item *items, int n, const sizes *s, int any_time)
{
    const int64_t T = s->T ? s->T : any_time ? 1 : bs_network_time_steps(net);
    const int64_t B = s->B ? s->B : bs_network_batch_size(net);
    const int same_size = T == bs_network_time_steps(net) && B == bs_network_batch_size(net);
    bs_error err = {0};
    if (bs_network_resize(net, T, B, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        const int stays = same_size || items[i].leaf->shape.scale == BS_FIXED;
        if ((items[i].value || !stays) && copy(net, &items[i]) < 0)
            return -1;
    }
    return 0;
}

static int fail_missing(const item *items, int n, const item *missing)
{
    PyObject *names = PyList_New(0);
    for (int i = 0; names && i < n; i++) {
        PyObject *name = PyUnicode_FromString(items[i].leaf->name);
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (names)
        PyErr_Format(PyExc_ValueError, "data '%s' is missing; the network takes %R",
                     missing->leaf->name, names);
    Py_XDECREF(names);
    return -1;
}

int bs_provide_external_data(bs_network *net, PyObject *data, int all_inputs)
{
    const bs_layout *layout = bs_network_layout(net);
    item items[BS_MAX_BUFFERS] = {{0}};
    sizes s = {0};
    int n = 0, result = 0, any_time = 0, input = 0;
    if (!PyDict_Check(data) && !PyObject_HasAttrString(data, "keys")) {
        PyErr_Format(PyExc_TypeError, "data must be a dict of name: array, got %R",
                     (PyObject *)Py_TYPE(data));
        return -1;
    }
    while (!(bs_network_wiring(net)->layer[input].type->flags & BS_IS_INPUT))
        input++;
    for (; n < bs_network_wiring(net)->layer[input].out.n; n++) {
        items[n].number = bs_layout_leaf(layout, input, BS_OUTPUTS, n);
        items[n].leaf = &layout->leaf[items[n].number];
    }
    for (int i = 0; result == 0 && i < n; i++) {
        result = take_value(&items[i], data, bs_network_device(net));
        if (result == 0 && !items[i].value && all_inputs)
            result = fail_missing(items, n, &items[i]);
        if (result == 0 && items[i].value) {
            result = measure(&items[i], &s);
            any_time |= items[i].leaf->shape.scale == BS_TIME;
        }
    }
    if (result == 0)
        result = copy_all(net, items, n, &s, any_time);
    for (int i = 0; i < n; i++)
        Py_XDECREF(items[i].value);
    return result;
}
