/* numpy_api.h - NumPy's C API. module.c loads the table (it defines BS_NUMPY_HERE), the other files
 * use it. */
#ifndef BS_PYTHON_NUMPY_API_H
#define BS_PYTHON_NUMPY_API_H

#include "python/core.h"

#define NPY_NO_DEPRECATED_API  NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION     NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL bs_numpy_api
#ifndef BS_NUMPY_HERE
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#endif
