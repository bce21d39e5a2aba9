/* gpu_array.h - GpuArray: a view of numbers in the memory of a device, with any strides, as NumPy's
 * arrays are views of the host's. */
#ifndef BS_PYTHON_GPU_ARRAY_H
#define BS_PYTHON_GPU_ARRAY_H

#include "python/core.h"

/* The numbers that a sequence of ints or one int holds; how many there are, or -1 and an exception
 * that begins with `what`. */
int bs_parse_sizes(PyObject *value, const char *what, int64_t out[BS_MAX_NDIM]);
/* The same for a shape, whose numbers are not negative. */
int bs_parse_shape(PyObject *shape, int64_t dim[BS_MAX_NDIM]);

typedef struct gpu_array {
    PyObject_HEAD bs_device *device; /* a reference; NULL before it is made */
    bs_block *block;                 /* that the numbers lie in, a reference; or NULL */
    PyObject *owner;                 /* of memory that is not ours, a reference; or NULL */
    char *data;                      /* element [0, 0, ...] */
    int ndim;
    int64_t dim[BS_MAX_NDIM], stride[BS_MAX_NDIM]; /* elements */
    bs_dtype dtype;
    int read_only;
} gpu_array;

int bs_is_gpu_array(PyObject *value);

/* A view of memory in `block`. */
gpu_array *bs_gpu_array_of(const bs_array *array, bs_block *block, bs_device *device);
/* A new packed array of zeros. */
gpu_array *bs_gpu_array_new(bs_device *device, bs_dtype dtype, int ndim, const int64_t *dim);
/* A view of the same memory, to be changed by the caller. */
gpu_array *bs_gpu_array_view(const gpu_array *a);

/* Bytes of an array, or -1 and a MemoryError where products of its dimensions are too large. */
int64_t bs_bytes_of(bs_dtype dtype, int ndim, const int64_t *dim);
void bs_packed_strides(int ndim, const int64_t *dim, int64_t *stride);

int64_t bs_gpu_array_size(const gpu_array *a);
PyObject *bs_gpu_array_shape(const gpu_array *a); /* a tuple */

/* Whether the engine can express it; *out is then the same view. */
int bs_gpu_array_express(const gpu_array *a, bs_array *out);
/* Whether the stretches of memory that two arrays lie in overlap, unless they are the same view. */
int bs_gpu_arrays_overlap(const gpu_array *a, const gpu_array *b);
/* The stretch of memory from the first element to behind the last one, in elements from a->data. */
void bs_gpu_array_stretch(const gpu_array *a, int64_t *first, int64_t *end);
/* 0, or -1 and a ValueError that says what came. */
int bs_gpu_array_require_shape(const gpu_array *a, const gpu_array *b, const char *what);
int bs_gpu_array_require_writable(const gpu_array *a);

/* ---- gpu_copy.c: between the device and the host ---- */

PyObject *bs_gpu_array_get(const gpu_array *a);            /* a new ndarray */
int bs_gpu_array_set(const gpu_array *a, PyObject *value); /* value is broadcast */
/* A new packed array of a device with the numbers of another one. */
gpu_array *bs_gpu_array_packed(const gpu_array *a, bs_device *device, bs_dtype dtype);

/* ---- gpu_index.c ---- */

PyObject *bs_gpu_array_item(PyObject *self, PyObject *key); /* a view */
PyObject *bs_gpu_array_reshape(PyObject *self, PyObject *shape);

/* ---- gpu_arithmetic.c ---- */

extern PyType_Slot bs_gpu_number_slots[]; /* ends with a slot of 0 */

/* ---- gpu_exchange.c: __cuda_array_interface__, gpu_dlpack.c: DLPack ---- */

PyObject *bs_gpu_interface(PyObject *self, void *unused);
PyObject *bs_gpu_dlpack(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *bs_gpu_dlpack_device(PyObject *self, PyObject *unused);

enum { DL_CUDA = 2 }; /* the kind of device, in DLPack */

/* To be called before others learn where the memory is: when it is freed, their work is waited for.
 */
void bs_gpu_array_show(const gpu_array *a);
/* Waits until what was asked of the array's device is done. Needs no GIL. */
bs_status bs_gpu_array_finish(const gpu_array *a, bs_error *err);
/* The same without the GIL: 0, or -1 and an exception. */
int bs_gpu_array_wait(const gpu_array *a);
/* Whether an array of another library lies on a GPU, as it says: 1 or 0, -1 and an exception. */
int bs_lies_on_gpu(PyObject *value);
/* A view of the memory of an array of another library. */
gpu_array *bs_gpu_array_from(PyObject *value, bs_device *device);
gpu_array *bs_gpu_array_from_dlpack(PyObject *value, bs_device *device);
/* A view of memory as another library describes it, after a look at whether that makes sense:
 * `found` has data, dtype, shape, read_only and, unless it is packed, strides. */
gpu_array *bs_gpu_array_adopt(gpu_array *found, int is_packed, PyObject *owner, bs_device *device);

#endif
