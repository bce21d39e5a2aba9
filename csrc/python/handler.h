/* handler.h - _core.Handler and what other files of this room need of it. */
#ifndef BS_PYTHON_HANDLER_H
#define BS_PYTHON_HANDLER_H

#include "python/core.h"

typedef struct handler_object {
    PyObject_HEAD bs_device *device; /* owned; NULL before __init__ */
    bs_handler handle;
    struct handler_object *wrapped; /* owned; its stream and lock are used; NULL: there are own */
    PyObject *stream;               /* RandomStream; owned */
    PyThread_type_lock lock;
} handler_object;

/* The object as an opened handler; RuntimeError and NULL if it is not open. */
handler_object *bs_handler_opened(PyObject *self);

/* Guards the handle, and lends it the stream, until bs_handler_unlock. Needs the GIL. */
void bs_handler_lock(handler_object *h);
void bs_handler_unlock(handler_object *h);

/* operation.c: a method for every row of ops.def, and is_fully_finite */
extern PyMethodDef bs_operation_methods[];

#endif
