/* gpu_dlpack.c - memory of the device for other libraries and from them by DLPack
 * (github.com/dmlc/dlpack), in capsules of version 1 and of the time before. */
#include "python/gpu_array.h"

#include "python/convert.h"

/* ---- what is in a capsule ---- */

enum {
    DL_CPU = 1,       /* a device */
    DL_FLOAT = 2,     /* a type */
    DL_READ_ONLY = 1, /* flags */
    DL_IS_COPIED = 2
};

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

static const char managed_name[] = "dltensor", versioned_name[] = "dltensor_versioned",
                  used_managed_name[] = "used_dltensor",
                  used_versioned_name[] = "used_dltensor_versioned";

/* ---- to others ---- */

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
    if (!Py_IsInitialized())
        return; /* Python ended before those who use the memory */
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
    if (PyCapsule_IsValid(capsule, managed_name))
        drop(((dl_managed *)PyCapsule_GetPointer(capsule, managed_name))->context);
    else if (PyCapsule_IsValid(capsule, versioned_name))
        drop(((dl_versioned *)PyCapsule_GetPointer(capsule, versioned_name))->context);
}

static dl_export *new_export(gpu_array *a)
{
    dl_export *e = PyMem_RawCalloc(1, sizeof *e);
    if (!e) {
        PyErr_NoMemory();
        return NULL;
    }
    bs_gpu_array_show(a);
    e->array = (gpu_array *)Py_NewRef((PyObject *)a);
    memcpy(e->shape, a->dim, sizeof a->dim);
    memcpy(e->strides, a->stride, sizeof a->stride);
    return e;
}

static dl_tensor tensor_of(dl_export *e)
{
    const gpu_array *a = e->array;
    dl_tensor t = {.ndim = a->ndim, .shape = e->shape, .strides = e->strides};
    t.data = bs_gpu_array_size(a) ? a->data : NULL;
    t.device.type = DL_CUDA;
    t.device.id = a->device->options.number;
    t.dtype.code = DL_FLOAT;
    t.dtype.bits = (uint8_t)(8 * bs_dtype_size(a->dtype));
    t.dtype.lanes = 1;
    return t;
}

static PyObject *capsule_of(gpu_array *a, int versioned, uint64_t flags)
{
    dl_export *e = new_export(a);
    if (!e)
        return NULL;
    if (versioned) {
        e->as.versioned = (dl_versioned){.version = {1, 0},
                                         .context = e,
                                         .deleter = delete_versioned,
                                         .flags = flags,
                                         .tensor = tensor_of(e)};
    } else {
        e->as.managed = (dl_managed){
            .tensor = tensor_of(e), .context = e, .deleter = delete_managed};
    }
    PyObject *capsule = PyCapsule_New(&e->as, versioned ? versioned_name : managed_name,
                                      free_capsule);
    if (!capsule)
        drop(e);
    return capsule;
}

/* Streams: -1 asks for nothing; the default stream, None or 1, is ordered with ours; others know
 * nothing of it. */
static int make_ready(const gpu_array *a, PyObject *stream)
{
    const long long number = stream == Py_None ? 1 : PyLong_AsLongLong(stream);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (number == 0 || number < -1) {
        PyErr_Format(PyExc_ValueError, "__dlpack__: stream must be -1, 1, 2 or a stream, got %R",
                     stream);
        return -1;
    }
    return number == 1 || number == -1 ? 0 : bs_gpu_array_wait(a);
}

/* For NumPy, if it asks for a copy on the host. */
static PyObject *host_capsule(const gpu_array *a, int may_copy)
{
    if (!may_copy)
        return PyErr_Format(PyExc_BufferError, "__dlpack__: an array of a GPU cannot be exported "
                                               "to the host without a copy");
    PyObject *host = bs_gpu_array_get(a);
    PyObject *capsule = host ? PyObject_CallMethod(host, "__dlpack__", NULL) : NULL;
    Py_XDECREF(host);
    return capsule;
}

PyObject *bs_gpu_dlpack(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = Py_None, *max_version = Py_None, *place = Py_None, *copy = Py_None;
    gpu_array *a = (gpu_array *)self;
    int major = 0, minor = 0, type = DL_CUDA, id = a->device->options.number;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", names, &stream,
                                     &max_version, &place, &copy) ||
        (max_version != Py_None &&
         !bs_parse_item(max_version, "ii;__dlpack__: max_version must be a tuple (major, minor)",
                        &major, &minor)) ||
        (place != Py_None &&
         !bs_parse_item(place, "ii;__dlpack__: dl_device must be a tuple (type, number)", &type,
                        &id)))
        return NULL;
    const int copies = copy == Py_None ? 0 : PyObject_IsTrue(copy);
    if (copies < 0)
        return NULL;
    if (type == DL_CPU)
        return host_capsule(a, copy == Py_None || copies);
    if (type != DL_CUDA || id != a->device->options.number)
        return PyErr_Format(PyExc_BufferError,
                            "this array lives on GPU %d, it is not exported to "
                            "device (%d, %d)",
                            a->device->options.number, type, id);
    if (a->read_only && !copies && major < 1)
        return PyErr_Format(PyExc_BufferError, "__dlpack__: this array is read-only, which only "
                                               "DLPack from version 1 on can say");
    gpu_array *exported = copies ? bs_gpu_array_packed(a, a->device, a->dtype)
                                 : (gpu_array *)Py_NewRef(self);
    const uint64_t flags = copies ? DL_IS_COPIED : a->read_only ? DL_READ_ONLY : 0;
    PyObject *capsule = NULL;
    if (exported && make_ready(exported, stream) == 0)
        capsule = capsule_of(exported, major >= 1, flags);
    Py_XDECREF(exported);
    return capsule;
}

PyObject *bs_gpu_dlpack_device(PyObject *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("(ii)", DL_CUDA, ((gpu_array *)self)->device->options.number);
}

/* ---- from others ---- */

/* Of a capsule that we have taken: it keeps the memory until no array needs it. */
static void free_taken(PyObject *capsule)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback); /* deleters may run Python */
    if (PyCapsule_IsValid(capsule, used_managed_name)) {
        dl_managed *managed = PyCapsule_GetPointer(capsule, used_managed_name);
        if (managed->deleter)
            managed->deleter(managed);
    } else {
        dl_versioned *versioned = PyCapsule_GetPointer(capsule, used_versioned_name);
        if (versioned->deleter)
            versioned->deleter(versioned);
    }
    PyErr_Restore(type, value, traceback);
}

static void take(PyObject *capsule, const char *used_name)
{
    PyCapsule_SetName(capsule, used_name);
    PyCapsule_SetDestructor(capsule, free_taken);
}

/* The tensor in a capsule, which is marked as taken; NULL and an exception if it is not one. */
static const dl_tensor *open_capsule(PyObject *capsule, int *read_only)
{
    *read_only = 0;
    if (PyCapsule_IsValid(capsule, managed_name)) {
        dl_managed *managed = PyCapsule_GetPointer(capsule, managed_name);
        take(capsule, used_managed_name);
        return &managed->tensor;
    }
    if (!PyCapsule_IsValid(capsule, versioned_name)) {
        PyErr_Format(PyExc_TypeError, "__dlpack__() gave %R, which is no capsule of DLPack",
                     capsule);
        return NULL;
    }
    dl_versioned *versioned = PyCapsule_GetPointer(capsule, versioned_name);
    take(capsule, used_versioned_name);
    if (versioned->version.major != 1) {
        PyErr_Format(PyExc_BufferError, "__dlpack__() gave version %u.%u of DLPack, expected 1",
                     versioned->version.major, versioned->version.minor);
        return NULL;
    }
    *read_only = (versioned->flags & DL_READ_ONLY) != 0;
    return &versioned->tensor;
}

static int require_device(int type, int id, const bs_device *device)
{
    if (type == DL_CUDA && id == device->options.number)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "the array lives on device (%d, %d) of DLPack, this handler is for (%d, %d)%s",
                 type, id, DL_CUDA, device->options.number,
                 type == DL_CPU ? ": create_from_numpy copies numbers of the host" : "");
    return -1;
}

static gpu_array *from_tensor(const dl_tensor *t, int read_only, PyObject *capsule,
                              bs_device *device)
{
    gpu_array found = {.ndim = t->ndim, .read_only = read_only};
    if (require_device(t->device.type, t->device.id, device) < 0)
        return NULL;
    if (t->dtype.code != DL_FLOAT || (t->dtype.bits != 32 && t->dtype.bits != 64) ||
        t->dtype.lanes != 1)
        return (gpu_array *)PyErr_Format(PyExc_TypeError,
                                         "an array of a GPU must be float32 or float64, not "
                                         "type %d of DLPack with %d bits and %d lanes",
                                         t->dtype.code, t->dtype.bits, t->dtype.lanes);
    if (t->ndim < 0 || t->ndim > BS_MAX_NDIM || (t->ndim > 0 && !t->shape))
        return (gpu_array *)PyErr_Format(PyExc_ValueError,
                                         "an array has %d dimensions, at most %d can be used",
                                         t->ndim, BS_MAX_NDIM);
    found.data = (char *)((uintptr_t)t->data + (uintptr_t)t->byte_offset);
    found.dtype = t->dtype.bits == 64 ? BS_F64 : BS_F32;
    for (int d = 0; d < t->ndim; d++)
        found.dim[d] = t->shape[d];
    for (int d = 0; t->strides && d < t->ndim; d++)
        found.stride[d] = t->strides[d];
    return bs_gpu_array_adopt(&found, !t->strides, capsule, device);
}

/* value.__dlpack__(stream=1, max_version=(1, 0)); those from before version 1 take no max_version.
 */
static PyObject *ask_for_capsule(PyObject *value)
{
    PyObject *method = PyObject_GetAttrString(value, "__dlpack__"), *nothing = PyTuple_New(0),
             *named = Py_BuildValue("{sis(ii)}", "stream", 1, "max_version", 1, 0);
    PyObject *capsule = method && nothing && named ? PyObject_Call(method, nothing, named) : NULL;
    if (!capsule && method && nothing && named && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        if (PyDict_DelItemString(named, "max_version") == 0)
            capsule = PyObject_Call(method, nothing, named);
    }
    Py_XDECREF(method);
    Py_XDECREF(nothing);
    Py_XDECREF(named);
    return capsule;
}

gpu_array *bs_gpu_array_from_dlpack(PyObject *value, bs_device *device)
{
    int type, id, read_only;
    PyObject *place = PyObject_CallMethod(value, "__dlpack_device__", NULL);
    const int good = place &&
                     bs_parse_item(place, "ii;__dlpack_device__() must be a tuple (type, number)",
                                   &type, &id) &&
                     require_device(type, id, device) == 0;
    Py_XDECREF(place);
    PyObject *capsule = good ? ask_for_capsule(value) : NULL;
    const dl_tensor *tensor = capsule ? open_capsule(capsule, &read_only) : NULL;
    gpu_array *out = tensor ? from_tensor(tensor, read_only, capsule, device) : NULL;
    Py_XDECREF(capsule);
    return out;
}
