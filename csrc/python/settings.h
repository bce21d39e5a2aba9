/* settings.h - between Python and the engine: keyword arguments and settings, shapes and tuples. */
#ifndef BS_PYTHON_SETTINGS_H
#define BS_PYTHON_SETTINGS_H

#include "python/core.h"

/* A list of settings made from a Python mapping. */
typedef struct bs_settings {
    int n;
    bs_setting *setting;
    PyObject *kept; /* list of objects that the settings borrow text from */
    bs_arena arena;
} bs_settings;

/* 0, or -1 with an exception that names layer and argument. Owned: bs_settings_close, also after a
 * failure. */
int bs_settings_from_kwargs(bs_settings *out, const char *layer, PyObject *kwargs);
void bs_settings_close(bs_settings *settings);

/* New dict {option: default}, with `required` for those that must be given; NULL with an exception.
 */
PyObject *bs_settings_defaults(const bs_layer_type *type, PyObject *required);

/* ('T', 'B', 10) and its like. Parsing accepts any sequence; 0 or -1 with an exception that begins
 * with `what`. */
int bs_shape_from_python(bs_shape *out, PyObject *shape, const char *what);
PyObject *bs_shape_to_python(const bs_shape *shape);

/* (shape, context_size, is_backward_only), the same of a whole list as {name: spec}. */
PyObject *bs_spec_to_python(const bs_shape *shape);
PyObject *bs_specs_to_python(const bs_buffers_declared *list);
int bs_spec_from_python(bs_shape *out, PyObject *spec, const char *what);

#endif
