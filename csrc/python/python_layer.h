/* python_layer.h - layers that are written in Python, as the engine sees them. */
#ifndef BS_PYTHON_PYTHON_LAYER_H
#define BS_PYTHON_PYTHON_LAYER_H

#include "python/core.h"

/* What the setting "factory" of such a layer points to. */
typedef struct bs_python_factory {
    PyObject *factory; /* borrowed; the Factory of _core.pyi */
    PyObject
        *made; /* borrowed list; receives (name, what the factory returned) and so keeps it alive */
} bs_python_factory;

/* Its option is "factory", a BS_POINTER. The layer calls back on the thread that runs the pass,
 * holding the GIL. */
extern const bs_layer_type bs_python_layer;

#endif
