/* network.c - _core.Network: a bs_network with the objects it borrows from. */
#include "python/network.h"

#include "python/external_data.h"

/* ---- holding ---- */

int bs_network_alive(const network_object *self)
{
    if (self->net)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "this network was not built");
    return -1;
}

int bs_network_hold(network_object *self)
{
    bs_error err = {0};
    if (bs_network_alive(self) < 0)
        return -1;
    if (bs_network_enter(self->net, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    self->owner = PyThread_get_thread_ident();
    return 0;
}

void bs_network_let_go(network_object *self)
{
    self->owner = 0;
    bs_network_leave(self->net);
}

/* ---- life ---- */

static int network_init(network_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"layers", "connections", "handler", "stream", NULL};
    PyObject *layers, *connections, *handler, *stream;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOO:Network", names, &layers, &connections,
                                     &handler, &stream))
        return -1;
    if (self->made) {
        PyErr_SetString(PyExc_RuntimeError, "a network is built only once");
        return -1;
    }
    if (!bs_is_handler(handler) || !bs_is_stream(stream)) {
        PyErr_Format(PyExc_TypeError,
                     "a network needs a _core.Handler and a _core.RandomStream, got %R and %R",
                     handler, stream);
        return -1;
    }
    Py_XSETREF(self->handler, Py_NewRef(handler));
    Py_XSETREF(self->stream, Py_NewRef(stream));
    layers = PySequence_List(layers);
    connections = layers ? PySequence_List(connections) : NULL;
    const int result = connections ? bs_network_build(self, layers, connections) : -1;
    Py_XDECREF(layers);
    Py_XDECREF(connections);
    if (result == 0)
        bs_network_set_stream(self->net, bs_stream_of(stream));
    return result;
}

static int network_traverse(network_object *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->handler);
    Py_VISIT(self->stream);
    Py_VISIT(self->gradient_hook);
    Py_VISIT(self->layers);
    Py_VISIT(self->made);
    return 0;
}

/* The engine borrows from all of these, so it goes first. Leaves keep their memory. */
static int network_clear(network_object *self)
{
    bs_network_close(self->net);
    self->net = NULL;
    Py_CLEAR(self->gradient_hook);
    Py_CLEAR(self->handler);
    Py_CLEAR(self->stream);
    Py_CLEAR(self->layers);
    Py_CLEAR(self->made);
    return 0;
}

static void network_dealloc(network_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    network_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* ---- running ---- */

static PyObject *network_set_handler(network_object *self, PyObject *handler)
{
    bs_error err = {0};
    bs_device *device = bs_is_handler(handler) ? bs_handler_device(handler) : NULL;
    if (!device && PyErr_Occurred())
        return NULL;
    if (!device)
        return PyErr_Format(PyExc_TypeError, "the engine runs on handlers of its own, got %R",
                            handler);
    if (bs_network_hold(self) < 0)
        return NULL;
    bs_status status;
    Py_BEGIN_ALLOW_THREADS
    status = bs_network_set_device(self->net, device, &err);
    Py_END_ALLOW_THREADS
    bs_network_let_go(self);
    if (status != BS_OK)
        return bs_raise(&err);
    Py_SETREF(self->handler, Py_NewRef(handler));
    Py_RETURN_NONE;
}

static PyObject *network_provide_external_data(network_object *self, PyObject *args,
                                               PyObject *kwargs)
{
    static char *names[] = {"data", "all_inputs", NULL};
    PyObject *data;
    int all_inputs = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:provide_external_data", names, &data,
                                     &all_inputs))
        return NULL;
    if (bs_network_hold(self) < 0)
        return NULL;
    const int result = bs_provide_external_data(self->net, data, all_inputs);
    bs_network_let_go(self);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

/* [(leaf, array)] as states; `kept` receives the packed arrays of the network's dtype that they
 * borrow from. */
static bs_state_before *states_from_python(network_object *self, PyObject *context, PyObject *kept)
{
    const Py_ssize_t n = PyList_GET_SIZE(context);
    bs_state_before *states = PyMem_Calloc((size_t)n + 1, sizeof *states);
    const bs_dtype dtype = bs_network_device(self->net)->dtype;
    if (!states)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; states && i < n; i++) {
        PyObject *value, *array = NULL;
        if (!bs_parse_item(PyList_GET_ITEM(context, i), "iO;a context must be [(leaf, array)]",
                           &states[i].leaf, &value) ||
            !(array = bs_packed_from_python(value, dtype, &states[i].state)) ||
            PyList_Append(kept, array) < 0) {
            PyMem_Free(states);
            states = NULL;
        }
        Py_XDECREF(array);
    }
    return states;
}

static PyObject *network_forward_pass(network_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"training_pass", "context", NULL};
    PyObject *context = Py_None, *list, *kept;
    int training = 0;
    bs_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO:forward_pass", names, &training, &context))
        return NULL;
    if (bs_network_alive(self) < 0)
        return NULL;
    list = context == Py_None ? PyList_New(0) : PySequence_List(context);
    kept = list ? PyList_New(0) : NULL;
    bs_state_before *states = kept ? states_from_python(self, list, kept) : NULL;
    bs_status status = BS_OK;
    const int good = states && bs_network_hold(self) == 0;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        status = bs_network_forward(self->net, training ? BS_TRAINING : BS_INFERENCE,
                                    (int)PyList_GET_SIZE(list), states, &err);
        Py_END_ALLOW_THREADS
        bs_network_let_go(self);
    }
    PyMem_Free(states);
    Py_XDECREF(list);
    Py_XDECREF(kept);
    if (status != BS_OK)
        return bs_raise(&err);
    return good ? Py_NewRef(Py_None) : NULL;
}

static PyObject *network_backward_pass(network_object *self, PyObject *unused)
{
    bs_status status;
    bs_error err = {0};
    (void)unused;
    if (bs_network_hold(self) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = bs_network_backward(self->net, NULL, &err);
    Py_END_ALLOW_THREADS
    bs_network_let_go(self);
    return status == BS_OK ? Py_NewRef(Py_None) : bs_raise(&err);
}

static PyObject *network_finish(network_object *self, PyObject *unused)
{
    bs_status status;
    bs_error err = {0};
    (void)unused;
    if (bs_network_hold(self) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = bs_network_finish(self->net, &err);
    Py_END_ALLOW_THREADS
    bs_network_let_go(self);
    return status == BS_OK ? Py_NewRef(Py_None) : bs_raise(&err);
}

/* ---- attributes ---- */

static PyObject *network_time_steps(network_object *self, void *unused)
{
    (void)unused;
    return bs_network_alive(self) < 0 ? NULL
                                      : PyLong_FromLongLong(bs_network_time_steps(self->net));
}

static PyObject *network_batch_size(network_object *self, void *unused)
{
    (void)unused;
    return bs_network_alive(self) < 0 ? NULL
                                      : PyLong_FromLongLong(bs_network_batch_size(self->net));
}

static PyObject *network_has_run_forward(network_object *self, void *unused)
{
    (void)unused;
    return bs_network_alive(self) < 0 ? NULL : PyBool_FromLong(bs_network_has_run(self->net, 0));
}

static PyObject *network_has_run_backward(network_object *self, void *unused)
{
    (void)unused;
    return bs_network_alive(self) < 0 ? NULL : PyBool_FromLong(bs_network_has_run(self->net, 1));
}

static PyObject *network_get_handler(network_object *self, void *unused)
{
    (void)unused;
    return bs_network_alive(self) < 0 ? NULL : Py_NewRef(self->handler);
}

static PyObject *network_get_stream(network_object *self, void *unused)
{
    (void)unused;
    return bs_network_alive(self) < 0 ? NULL : Py_NewRef(self->stream);
}

static int network_set_stream(network_object *self, PyObject *value, void *unused)
{
    (void)unused;
    if (!value || !bs_is_stream(value)) {
        PyErr_SetString(PyExc_TypeError, "stream must be a _core.RandomStream");
        return -1;
    }
    if (bs_network_hold(self) < 0)
        return -1;
    bs_network_set_stream(self->net, bs_stream_of(value));
    Py_SETREF(self->stream, Py_NewRef(value));
    bs_network_let_go(self);
    return 0;
}

static PyObject *network_get_lean(network_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->is_lean);
}

static int network_set_lean(network_object *self, PyObject *value, void *unused)
{
    const int is_lean = value ? PyObject_IsTrue(value) : 0;
    (void)unused;
    if (is_lean < 0 || bs_network_hold(self) < 0)
        return -1;
    self->is_lean = is_lean;
    bs_network_set_lean(self->net, is_lean);
    bs_network_let_go(self);
    return 0;
}

static PyObject *network_get_hook(network_object *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->gradient_hook ? self->gradient_hook : Py_None);
}

/* Runs the Python gradient modifiers at the end of a backward pass, which holds no GIL. */
static bs_status call_gradient_hook(void *context, bs_error *err)
{
    network_object *self = context;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(self->gradient_hook);
    const bs_status status = result ? BS_OK
                                    : bs_fail(err, BS_CALLBACK, "a gradient modifier failed");
    Py_XDECREF(result);
    PyGILState_Release(gil);
    return status;
}

static int network_set_hook(network_object *self, PyObject *value, void *unused)
{
    (void)unused;
    if (bs_network_hold(self) < 0)
        return -1;
    if (value == Py_None)
        value = NULL;
    Py_XSETREF(self->gradient_hook, Py_XNewRef(value));
    bs_network_set_gradient_hook(self->net, value ? call_gradient_hook : NULL, self);
    bs_network_let_go(self);
    return 0;
}

static PyMethodDef methods[] = {
    {"layer_infos", (PyCFunction)(void (*)(void))bs_network_layer_infos, METH_NOARGS,
     "What each layer is, in order."},
    {"parameter_order", (PyCFunction)(void (*)(void))bs_network_parameter_order, METH_NOARGS,
     "(layer, parameter) in the order of the flat vector."},
    {"context_leaves", (PyCFunction)(void (*)(void))bs_network_context_leaves, METH_NOARGS,
     "(layer, category, name, leaf) of every forward buffer with a context slot."},
    {"leaf", (PyCFunction)(void (*)(void))bs_network_leaf, METH_O, "The live array of a leaf."},
    {"set_handler", (PyCFunction)(void (*)(void))network_set_handler, METH_O,
     "Move to another handler."},
    {"provide_external_data", (PyCFunction)(void (*)(void))network_provide_external_data,
     METH_VARARGS | METH_KEYWORDS, "Copy data into Input's outputs."},
    {"forward_pass", (PyCFunction)(void (*)(void))network_forward_pass,
     METH_VARARGS | METH_KEYWORDS, "Run all layers forward."},
    {"backward_pass", (PyCFunction)(void (*)(void))network_backward_pass, METH_NOARGS,
     "Run all layers backward."},
    {"get_loss_values", (PyCFunction)(void (*)(void))bs_network_loss_values, METH_NOARGS,
     "{name: loss}, total last."},
    {"finish", (PyCFunction)(void (*)(void))network_finish, METH_NOARGS,
     "Wait for the last update, and raise what was wrong with its data."},
    {0}};

static PyGetSetDef attributes[] = {
    {"tree", (getter)bs_network_tree, NULL, "Layers, categories and names, with leaves as numbers.",
     NULL},
    {"time_steps", (getter)network_time_steps, NULL, "T of the present buffers.", NULL},
    {"batch_size", (getter)network_batch_size, NULL, "B of the present buffers.", NULL},
    {"has_run_forward", (getter)network_has_run_forward, NULL, "Whether a forward pass has run.",
     NULL},
    {"has_run_backward", (getter)network_has_run_backward, NULL, "Whether a backward pass has run.",
     NULL},
    {"handler", (getter)network_get_handler, NULL, "The handler in use.", NULL},
    {"stream", (getter)network_get_stream, (setter)network_set_stream,
     "What random operations draw from.", NULL},
    {"is_lean", (getter)network_get_lean, (setter)network_set_lean,
     "Whether backward passes leave out deltas that no gradient depends on.", NULL},
    {"gradient_hook", (getter)network_get_hook, (setter)network_set_hook,
     "Called after every backward pass.", NULL},
    {0}};

static PyType_Slot slots[] = {{Py_tp_doc, "A graph of layers, its memory and its program."},
                              {Py_tp_init, network_init},
                              {Py_tp_traverse, network_traverse},
                              {Py_tp_clear, network_clear},
                              {Py_tp_dealloc, network_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, attributes},
                              {0, NULL}};

static PyType_Spec spec = {
    .name = "brainstorm._core.Network",
    .basicsize = sizeof(network_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int bs_is_network(PyObject *value)
{
    return PyObject_TypeCheck(value, bs_the_core.network_type);
}

int bs_network_type_add(PyObject *module)
{
    bs_the_core.network_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return bs_the_core.network_type ? PyModule_AddType(module, bs_the_core.network_type) : -1;
}
