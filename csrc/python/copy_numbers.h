/* copy_numbers.h - the numbers of NumPy arrays go into arrays of the engine. */
#ifndef BS_PYTHON_COPY_NUMBERS_H
#define BS_PYTHON_COPY_NUMBERS_H

#include "python/numpy_api.h"

/* Copies source, which can be broadcast to the shape of dest, into it; any dtype is cast. `block`
 * holds dest. A device with memory of its own may do so later, in the order of the handle's work;
 * source is not needed any more. -1 and an exception on failure. */
int bs_copy_numbers(bs_handler *h, const bs_array *dest, bs_block *block, PyArrayObject *source);

#endif
