/* core.h - what the files of this room share. Each file is one Python type or one job; this room
 * translates and computes nothing.
 *
 * The state is one struct for the process: it can be loaded by one interpreter only, like NumPy. */
#ifndef BS_PYTHON_CORE_H
#define BS_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "brainstorm.h"

typedef struct bs_core {
    PyObject *validation_error, *network_error,
        *layer_error; /* brainstorm.utils.ValidationError and its children */
    PyTypeObject *stream_type, *handler_type, *network_type, *stepper_type, *gpu_array_type;
    PyObject *float32, *float64; /* numpy.float32, numpy.float64 */
    PyObject *shares_memory;     /* numpy.shares_memory */
} bs_core;

extern bs_core bs_the_core;

/* ---- errors.c ---- */

int bs_errors_add(PyObject *module);
PyObject *bs_layer_error(void);          /* LayerValidationError, borrowed */
PyObject *bs_network_error(void);        /* NetworkValidationError, borrowed */
PyObject *bs_raise(const bs_error *err); /* sets the exception of err->code (BS_CALLBACK keeps the
                                            one set); returns NULL */

/* ---- stream.c: RandomStream ---- */

int bs_stream_type_add(PyObject *module);
int bs_is_stream(PyObject *value);
bs_stream *bs_stream_of(
    PyObject *stream); /* lives as long as the object; TypeError and NULL for other objects */

/* ---- handler.c: Handler ---- */

int bs_handler_type_add(PyObject *module);
int bs_is_handler(PyObject *value);
bs_device *bs_handler_device(
    PyObject *handler); /* borrowed; TypeError and NULL for other objects */

/* ---- debug_handler.c: DebugHandler ---- */

int bs_debug_handler_type_add(PyObject *module);

/* ---- convert.c ---- */

/* A live ndarray of memory that the host can read and write; it keeps the block (NULL: nothing)
 * alive. */
PyObject *bs_array_to_numpy(const bs_array *array, bs_block *block);

/* The same, or a GpuArray of memory of a device. */
PyObject *bs_array_to_python(const bs_array *array, bs_block *block, bs_device *device);

/* A C-contiguous ndarray of the dtype with the real numbers of value, and *out as a view of it. */
PyObject *bs_packed_from_python(PyObject *value, bs_dtype dtype, bs_array *out);

/* A new packed ndarray of the shape and dtype of `like`, and *out as a view of it. */
PyObject *bs_new_packed(const bs_array *like, bs_array *out);

/* ---- host.c ---- */

int bs_host_add(PyObject *module);

/* ---- gpu_array.c: GpuArray ---- */

int bs_gpu_array_type_add(PyObject *module);

/* ---- layer types, Layer, Layout and Buffers, Network and Stepper ---- */

int bs_layer_types_add(PyObject *module);
int bs_lone_layer_type_add(PyObject *module);
/* What a layer tells of itself, see _core.pyi; takes the reference to kwargs. `object`: what a
 * factory made, or None. */
PyObject *bs_layer_info(const bs_layer *layer, PyObject *object, PyObject *kwargs);
int bs_create_layout_add(PyObject *module);
int bs_buffers_type_add(PyObject *module);
int bs_network_type_add(PyObject *module);
int bs_is_network(PyObject *value);
int bs_stepper_type_add(PyObject *module);

/* ---- small things ---- */

/* PyArg_ParseTuple on something that may be no tuple: 1, or 0 with a TypeError that begins with the
 * text behind the ; of the format. */
int bs_parse_item(PyObject *item, const char *format, ...);

/* Adds a new reference to the module and drops it here. */
int bs_module_add(PyObject *module, const char *name, PyObject *value);

#endif
