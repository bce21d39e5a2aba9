/* debug_handler.c - DebugHandler: a Handler over another one, whose device checks every call. It
 * draws from the stream of the other one, whatever that is at the time. */
#include "python/handler.h"

static int debug_handler_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"handler", NULL};
    handler_object *h = (handler_object *)self;
    PyObject *wrapped;
    bs_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:DebugHandler", names, &wrapped))
        return -1;
    bs_device *inner = bs_handler_device(wrapped);
    if (!inner)
        return -1;
    if (h->device) {
        PyErr_SetString(PyExc_RuntimeError, "this Handler is open already");
        return -1;
    }
    if (bs_debug_open(&h->device, inner, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    bs_handler_init(&h->handle, h->device, NULL);
    h->wrapped = (handler_object *)Py_NewRef(wrapped);
    return 0;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "DebugHandler(handler)\n--\n\nA Handler that checks every call of another one."},
    {Py_tp_init, debug_handler_init},
    {0, NULL},
};

static PyType_Spec spec = {.name = "brainstorm._core.DebugHandler",
                           .basicsize = sizeof(handler_object),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                           .slots = slots};

int bs_debug_handler_type_add(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, (PyObject *)bs_the_core.handler_type);
    const int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return result;
}
