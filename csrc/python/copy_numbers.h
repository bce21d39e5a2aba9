/* copy_numbers.h - the numbers of NumPy arrays go into arrays of the engine. */
#ifndef BS_PYTHON_COPY_NUMBERS_H
#define BS_PYTHON_COPY_NUMBERS_H

#include "python/numpy_api.h"

/* Copies source, which can be broadcast to the shape of dest, into it; any dtype is cast. `block`
 * on `device` holds dest. -1 and an exception on failure. */
int bs_copy_numbers(const bs_array *dest, bs_block *block, bs_device *device,
                    PyArrayObject *source);

#endif
