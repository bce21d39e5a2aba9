/* convert.h - NumPy arrays as arrays of the engine and back. */
#ifndef BS_PYTHON_CONVERT_H
#define BS_PYTHON_CONVERT_H

#include "python/core.h"

/* An array that takes part in an operation: of NumPy, or a GpuArray where the device has memory of
 * its own. What the engine can express is used in place; else it works on a packed copy in the
 * handler's dtype, which is written back at the end. All zero is an empty one. */
typedef struct bs_argument {
    PyObject *given; /* the caller's array */
    PyObject *used;  /* the same, or the copy; owned */
    int writes;      /* used is a copy of an output */
} bs_argument;

/* Sets *array from value (for BS_ARG_IN anything that numpy.asarray takes). On failure: an
 * exception naming the operation and the argument, -1, and *argument may be closed. */
int bs_argument_open(bs_argument *argument, bs_array *array, PyObject *value, bs_device *device,
                     bs_arg_kind kind, const char *op, const char *name);
int bs_argument_write_back(bs_argument *argument); /* -1 and an exception on failure */
void bs_argument_close(bs_argument *argument);

/* Whether a copy hides that the two share memory without being the same array: 1, 0, or -1 and an
 * exception. Empty ones share nothing. */
int bs_argument_hidden_overlap(const bs_argument *a, const bs_argument *b);

/* Describes an array of up to BS_MAX_NDIM dimensions in place: the last ones packed, those before
 * at one pitch. Strides are in elements. Returns 0 if the engine has no such view. */
int bs_express(void *data, bs_dtype dtype, int ndim, const int64_t *dim, const int64_t *stride,
               bs_array *out);

/* Whether an ndarray holds bools, integers or real floats. */
int bs_holds_real_numbers(PyObject *array);

/* BS_F32 or BS_F64 from anything that names a dtype, or TypeError and -1. */
int bs_dtype_of(PyObject *value);

#endif
