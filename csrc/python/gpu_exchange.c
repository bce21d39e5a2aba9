/* gpu_exchange.c - memory of the device for other libraries and from them, without a copy:
 * __cuda_array_interface__ (version 3) and DLPack.
 *
 * The engine's stream is ordered with the default stream by the driver, so that is the stream that
 * we name. */
#include "python/gpu_array.h"

#include "python/convert.h"
#include "python/numpy_api.h"

/* ---- __cuda_array_interface__ ---- */

PyObject *bs_gpu_interface(PyObject *self, void *unused)
{
    const gpu_array *a = (gpu_array *)self;
    PyObject *shape = bs_gpu_array_shape(a), *strides = PyObject_GetAttrString(self, "strides");
    (void)unused;
    if (!shape || !strides) {
        Py_XDECREF(shape);
        Py_XDECREF(strides);
        return NULL;
    }
    return Py_BuildValue("{sNsss(KO)sNsisi}", "shape", shape, "typestr",
                         a->dtype == BS_F64 ? "<f8" : "<f4", "data",
                         (unsigned long long)(uintptr_t)a->data, Py_False, "strides", strides,
                         "version", 3, "stream", 1);
}

static int parse_sizes(PyObject *value, int64_t out[BS_MAX_NDIM])
{
    PyObject *items = PySequence_Fast(value, "a shape must be a sequence");
    const Py_ssize_t n = items ? PySequence_Fast_GET_SIZE(items) : -1;
    int result = (int)n;
    if (n > BS_MAX_NDIM) {
        PyErr_Format(PyExc_ValueError, "an array has %zd dimensions, at most %d can be used", n,
                     BS_MAX_NDIM);
        result = -1;
    }
    for (Py_ssize_t d = 0; d < n && result >= 0; d++) {
        out[d] = PyNumber_AsSsize_t(PySequence_Fast_GET_ITEM(items, d), PyExc_OverflowError);
        if (out[d] == -1 && PyErr_Occurred())
            result = -1;
    }
    Py_XDECREF(items);
    return result;
}

/* The value of a key, borrowed, or NULL and an exception. */
static PyObject *field(PyObject *interface, const char *key)
{
    PyObject *value = PyDict_Check(interface) ? PyDict_GetItemString(interface, key) : NULL;
    if (!value)
        PyErr_Format(PyExc_ValueError, "__cuda_array_interface__ has no '%s'", key);
    return value;
}

static int parse_interface(PyObject *interface, gpu_array *a)
{
    PyObject *shape = field(interface, "shape"), *type = shape ? field(interface, "typestr") : NULL,
             *data = type ? field(interface, "data") : NULL;
    unsigned long long pointer;
    int read_only;
    if (!data || !PyArg_ParseTuple(data, "Kp", &pointer, &read_only))
        return -1;
    const int is_f32 = PyUnicode_Check(type) && PyUnicode_CompareWithASCIIString(type, "<f4") == 0;
    const int is_f64 = PyUnicode_Check(type) && PyUnicode_CompareWithASCIIString(type, "<f8") == 0;
    if (!is_f32 && !is_f64) {
        PyErr_Format(PyExc_TypeError, "an array of a GPU must be float32 or float64, not %S", type);
        return -1;
    }
    a->data = (char *)(uintptr_t)pointer;
    a->dtype = is_f64 ? BS_F64 : BS_F32;
    a->ndim = parse_sizes(shape, a->dim);
    if (a->ndim < 0)
        return -1;
    int64_t stride = 1;
    for (int d = a->ndim - 1; d >= 0; d--) {
        a->stride[d] = stride;
        stride *= a->dim[d];
    }
    PyObject *strides = PyDict_GetItemString(interface, "strides");
    if (strides && strides != Py_None) {
        if (parse_sizes(strides, a->stride) != a->ndim)
            return -1;
        for (int d = 0; d < a->ndim; d++)
            a->stride[d] /= (int64_t)bs_dtype_size(a->dtype);
    }
    return 0;
}

gpu_array *bs_gpu_array_from_interface(PyObject *value, bs_device *device)
{
    gpu_array found = {.ndim = 0};
    PyObject *interface = PyObject_GetAttrString(value, "__cuda_array_interface__");
    gpu_array *out = NULL;
    if (interface && parse_interface(interface, &found) == 0) {
        found.device = device;
        found.owner = value;
        out = bs_gpu_array_view(&found);
    }
    Py_XDECREF(interface);
    return out;
}

/* ---- DLPack (github.com/dmlc/dlpack, version 1) ---- */

enum { DL_CUDA = 2, DL_FLOAT = 2 };

typedef struct dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed { /* "dltensor" */
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

typedef struct dl_versioned { /* "dltensor_versioned" */
    struct {
        uint32_t major, minor;
    } version;
    void *context;
    void (*deleter)(struct dl_versioned *self);
    uint64_t flags;
    dl_tensor tensor;
} dl_versioned;

/* What both kinds of capsule stand for; `array` is a reference. */
typedef struct dl_export {
    union {
        dl_managed managed;
        dl_versioned versioned;
    } as;
    gpu_array *array;
    int64_t shape[BS_MAX_NDIM], strides[BS_MAX_NDIM];
} dl_export;

static void drop(dl_export *e)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF(e->array);
    PyGILState_Release(gil);
    PyMem_RawFree(e);
}

static void delete_managed(dl_managed *self)
{
    drop(self->context);
}

static void delete_versioned(dl_versioned *self)
{
    drop(self->context);
}

/* Of a capsule that nobody has taken: takers rename it. */
static void free_capsule(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, "dltensor"))
        drop(((dl_managed *)PyCapsule_GetPointer(capsule, "dltensor"))->context);
    else if (PyCapsule_IsValid(capsule, "dltensor_versioned"))
        drop(((dl_versioned *)PyCapsule_GetPointer(capsule, "dltensor_versioned"))->context);
}

static dl_export *new_export(gpu_array *a)
{
    dl_export *e = PyMem_RawCalloc(1, sizeof *e);
    if (!e) {
        PyErr_NoMemory();
        return NULL;
    }
    e->array = (gpu_array *)Py_NewRef((PyObject *)a);
    memcpy(e->shape, a->dim, sizeof a->dim);
    memcpy(e->strides, a->stride, sizeof a->stride);
    return e;
}

static dl_tensor tensor_of(dl_export *e)
{
    const gpu_array *a = e->array;
    dl_tensor t = {.data = a->data, .ndim = a->ndim, .shape = e->shape, .strides = e->strides};
    t.device.type = DL_CUDA;
    t.device.id = a->device->options.number;
    t.dtype.code = DL_FLOAT;
    t.dtype.bits = (uint8_t)(8 * bs_dtype_size(a->dtype));
    t.dtype.lanes = 1;
    return t;
}

static PyObject *capsule_of(gpu_array *a, int versioned)
{
    dl_export *e = new_export(a);
    if (!e)
        return NULL;
    if (versioned) {
        e->as.versioned = (dl_versioned){
            .version = {1, 0}, .context = e, .deleter = delete_versioned, .tensor = tensor_of(e)};
    } else {
        e->as.managed = (dl_managed){
            .tensor = tensor_of(e), .context = e, .deleter = delete_managed};
    }
    PyObject *capsule = PyCapsule_New(&e->as, versioned ? "dltensor_versioned" : "dltensor",
                                      free_capsule);
    if (!capsule)
        drop(e);
    return capsule;
}

/* Makes sure that what was asked of the device is done: reading a number waits for it. */
static int wait_for(const gpu_array *a)
{
    const bs_array one = bs_array_packed(a->data, a->dtype, 0, NULL);
    double number;
    bs_error err = {0};
    if (bs_gpu_array_size(a) > 0 && a->device->read(a->device, &one, &number, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    return 0;
}

/* Streams: -1 asks for nothing, None and 1 are the default stream; others know nothing of ours. */
static int make_ready(const gpu_array *a, PyObject *stream)
{
    const long number = stream == Py_None ? 1 : PyLong_AsLong(stream);
    if (number == -1 && PyErr_Occurred())
        return -1;
    return number == 1 || number == -1 ? 0 : wait_for(a);
}

PyObject *bs_gpu_dlpack(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = Py_None, *max_version = Py_None, *dl_device = Py_None, *copies = Py_None;
    gpu_array *a = (gpu_array *)self;
    int major = 0, minor = 0, type = DL_CUDA, id = a->device->options.number;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", names, &stream,
                                     &max_version, &dl_device, &copies) ||
        (max_version != Py_None && !PyArg_ParseTuple(max_version, "ii", &major, &minor)) ||
        (dl_device != Py_None && !PyArg_ParseTuple(dl_device, "ii", &type, &id)))
        return NULL;
    if (type != DL_CUDA || id != a->device->options.number)
        return PyErr_Format(PyExc_BufferError,
                            "this array lives on GPU %d, it is not exported to "
                            "device (%d, %d): get() copies it to the host",
                            a->device->options.number, type, id);
    if (make_ready(a, stream) < 0)
        return NULL;
    gpu_array *exported = copies == Py_True ? bs_gpu_array_packed(a, a->dtype)
                                            : (gpu_array *)Py_NewRef(self);
    PyObject *capsule = exported ? capsule_of(exported, major >= 1) : NULL;
    Py_XDECREF(exported);
    return capsule;
}

PyObject *bs_gpu_dlpack_device(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("(ii)", DL_CUDA, ((gpu_array *)self)->device->options.number);
}
