/* copy_numbers.c - plain loops, row by row, for what is common; NumPy does the rest.
 *
 * NumPy needs a microsecond to find out what to do with two arrays, which is longer than a small
 * network needs for a layer. */
#include "python/copy_numbers.h"

#include <float.h>
#include <math.h>

#include "python/convert.h"

#define BS_CAST(number, type, real)                                                                \
    case number:                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                            \
            to[i] = (real)((const type *)from)[i];                                                 \
        return 1;

/* All but float64, which alone can be too large. */
#define BS_CASTS(real)                                                                             \
    BS_CAST(NPY_BOOL, npy_bool, real)                                                              \
    BS_CAST(NPY_BYTE, npy_byte, real)                                                              \
    BS_CAST(NPY_UBYTE, npy_ubyte, real)                                                            \
    BS_CAST(NPY_SHORT, npy_short, real)                                                            \
    BS_CAST(NPY_USHORT, npy_ushort, real)                                                          \
    BS_CAST(NPY_INT, npy_int, real)                                                                \
    BS_CAST(NPY_UINT, npy_uint, real)                                                              \
    BS_CAST(NPY_LONG, npy_long, real)                                                              \
    BS_CAST(NPY_ULONG, npy_ulong, real)                                                            \
    BS_CAST(NPY_LONGLONG, npy_longlong, real)                                                      \
    BS_CAST(NPY_ULONGLONG, npy_ulonglong, real)                                                    \
    BS_CAST(NPY_FLOAT, npy_float, real)

/* Whether all finite numbers stay so: those below FLT_MAX and half a unit of its last place. */
static int narrow(float *restrict to, const double *restrict from, int64_t n)
{
    int too_large = 0;
    for (int64_t i = 0; i < n; i++) {
        const double size = fabs(from[i]);
        too_large |= (size >= 0x1.ffffffp127) & (size <= DBL_MAX);
        to[i] = (float)from[i];
    }
    return !too_large;
}

/* n numbers of a type of NumPy, one after the other. Returns 0 for a type that is not in the list,
 * and for numbers that are too large. */
static int cast_to_f32(float *restrict to, const void *restrict from, int64_t n, int type)
{
    switch (type) {
        BS_CASTS(float)
    case NPY_DOUBLE: return narrow(to, from, n);
    }
    return 0;
}

static int cast_to_f64(double *restrict to, const void *restrict from, int64_t n, int type)
{
    switch (type) {
        BS_CASTS(double)
        BS_CAST(NPY_DOUBLE, npy_double, double)
    }
    return 0;
}

/* Whether source has been copied. It is not where its numbers do not lie one after the other, have
 * another shape or are too large for dest, of which NumPy warns. */
static int cast_rows(const bs_array *dest, PyArrayObject *source)
{
    const int64_t rows = bs_is_packed(dest) ? 1 : bs_rows(dest), n = bs_count(dest) / rows;
    const int type = PyArray_TYPE(source);
    const char *from = PyArray_DATA(source);
    int done = PyArray_ISCARRAY_RO(source) && PyArray_SIZE(source) == bs_count(dest);
    for (int64_t row = 0; done && row < rows; row++) {
        const int64_t at = row * dest->pitch;
        done = dest->dtype == BS_F32 ? cast_to_f32((float *)dest->data + at, from, n, type)
                                     : cast_to_f64((double *)dest->data + at, from, n, type);
        from += n * PyArray_ITEMSIZE(source);
    }
    return done;
}

static int copy_to_host(const bs_array *dest, bs_block *block, PyArrayObject *source)
{
    if (cast_rows(dest, source))
        return 0;
    PyObject *array = bs_array_to_numpy(dest, block);
    const int result = array ? PyArray_CopyInto((PyArrayObject *)array, source) : -1;
    Py_XDECREF(array);
    return result;
}

/* Waits for the work of before. */
static int write_to_device(bs_handler *h, const bs_array *dest, PyArrayObject *source)
{
    bs_array packed;
    PyObject *host = bs_new_packed(dest, &packed);
    const int result = host ? copy_to_host(&packed, NULL, source) : -1;
    Py_BEGIN_ALLOW_THREADS
    if (result == 0)
        h->device->write(h->device, dest, packed.data, &h->error);
    Py_END_ALLOW_THREADS
    Py_XDECREF(host);
    return result;
}

/* By way of memory that the device has for this, if it has, in the dtype of dest. */
static int copy_to_device(bs_handler *h, const bs_array *dest, PyArrayObject *source)
{
    const size_t bytes = (size_t)bs_count(dest) * bs_dtype_size(dest->dtype);
    bs_array staged = *dest;
    int result = 0;
    if (bytes == 0)
        return 0;
    staged.pitch = bs_cols(dest);
    Py_BEGIN_ALLOW_THREADS
    staged.data = h->device->stage(h, bytes);
    Py_END_ALLOW_THREADS
    if (staged.data && (result = copy_to_host(&staged, NULL, source)) == 0)
        h->device->upload(h, dest);
    else if (!staged.data && h->error.code == BS_OK)
        result = write_to_device(h, dest, source);
    if (h->error.code == BS_OK)
        return result;
    bs_raise(&h->error);
    h->error.code = BS_OK;
    return -1;
}

int bs_copy_numbers(bs_handler *h, const bs_array *dest, bs_block *block, PyArrayObject *source)
{
    return h->device->type->host_memory ? copy_to_host(dest, block, source)
                                        : copy_to_device(h, dest, source);
}
