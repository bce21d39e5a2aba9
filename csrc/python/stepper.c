/* stepper.c - _core.Stepper: a bs_stepper and the network that it is bound to. */
#include "python/network.h"

typedef struct stepper_object {
    PyObject_HEAD bs_stepper *stepper; /* NULL before __init__ has succeeded */
    network_object *network;           /* since start */
} stepper_object;

static int check_made(const stepper_object *self)
{
    if (self->stepper)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "this stepper was not made by __init__");
    return -1;
}

/* TypeError for an unknown option, ValueError or TypeError for a value that does not fit. */
static int set_option(stepper_object *self, PyObject *name, PyObject *value)
{
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    const double number = text ? PyFloat_AsDouble(value) : 0;
    bs_error err = {0};
    if (!text || PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%S must be a number, got %R", name, value);
        return -1;
    }
    if (bs_stepper_set(self->stepper, text, number, &err) == BS_OK)
        return 0;
    if (err.code == BS_KEY)
        err.code = BS_TYPE;
    bs_raise(&err);
    return -1;
}

static int stepper_init(stepper_object *self, PyObject *args, PyObject *kwargs)
{
    const char *type;
    PyObject *name, *value;
    Py_ssize_t at = 0;
    bs_error err = {0};
    if (!PyArg_ParseTuple(args, "s:Stepper", &type))
        return -1;
    if (self->stepper) {
        PyErr_SetString(PyExc_RuntimeError, "a stepper is made only once");
        return -1;
    }
    if (bs_stepper_create(&self->stepper, type, &err) != BS_OK) {
        bs_raise(&err);
        return -1;
    }
    while (kwargs && PyDict_Next(kwargs, &at, &name, &value))
        if (set_option(self, name, value) < 0)
            return -1;
    return 0;
}

static int stepper_traverse(stepper_object *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->network);
    return 0;
}

/* The engine's stepper borrows the network, so it goes first. */
static int stepper_clear(stepper_object *self)
{
    bs_stepper_close(self->stepper);
    self->stepper = NULL;
    Py_CLEAR(self->network);
    return 0;
}

static void stepper_dealloc(stepper_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    stepper_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *stepper_set_option(stepper_object *self, PyObject *args)
{
    PyObject *name, *value;
    if (check_made(self) < 0 || !PyArg_ParseTuple(args, "UO:set_option", &name, &value) ||
        set_option(self, name, value) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *stepper_get_option(stepper_object *self, PyObject *name)
{
    double value;
    int is_flag;
    bs_error err = {0};
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    if (!text)
        return PyErr_Format(PyExc_TypeError, "the name of an option must be a string, got %R",
                            name);
    if (check_made(self) < 0)
        return NULL;
    if (bs_stepper_get(self->stepper, text, &value, &is_flag, &err) != BS_OK)
        return bs_raise(&err);
    return is_flag ? PyBool_FromLong(value != 0) : PyFloat_FromDouble(value);
}

static PyObject *stepper_state(stepper_object *self, PyObject *args)
{
    int index = 0;
    bs_array array;
    bs_block *block;
    if (check_made(self) < 0 || !PyArg_ParseTuple(args, "|i:state", &index))
        return NULL;
    if (!bs_stepper_state(self->stepper, index, &array, &block))
        Py_RETURN_NONE;
    return bs_array_to_python(&array, block, bs_stepper_device(self->stepper));
}

static PyObject *stepper_get_updates(stepper_object *self, void *unused)
{
    (void)unused;
    return check_made(self) < 0 ? NULL : PyLong_FromLongLong(bs_stepper_updates(self->stepper));
}

static int stepper_set_updates(stepper_object *self, PyObject *value, void *unused)
{
    const long long updates = value ? PyLong_AsLongLong(value) : -1;
    (void)unused;
    if (check_made(self) < 0 || (updates == -1 && PyErr_Occurred()))
        return -1;
    if (updates < 0) {
        PyErr_SetString(PyExc_ValueError, "updates must be a count");
        return -1;
    }
    bs_stepper_set_updates(self->stepper, updates);
    return 0;
}

static PyObject *stepper_start(stepper_object *self, PyObject *network)
{
    bs_error err = {0};
    if (check_made(self) < 0)
        return NULL;
    if (!bs_is_network(network))
        return PyErr_Format(PyExc_TypeError, "start needs a _core.Network, got %R", network);
    /* the network of before is held too: nobody may be inside run() */
    network_object *net = (network_object *)network,
                   *before = self->network == net ? NULL : self->network;
    if (before && bs_network_hold(before) < 0)
        return NULL;
    bs_status status = BS_STATE;
    if (bs_network_hold(net) == 0) {
        Py_BEGIN_ALLOW_THREADS
        status = bs_stepper_start(self->stepper, net->net, &err);
        Py_END_ALLOW_THREADS
        bs_network_let_go(net);
    }
    if (before)
        bs_network_let_go(before);
    if (PyErr_Occurred())
        return NULL;
    if (status != BS_OK)
        return bs_raise(&err);
    Py_XSETREF(self->network, (network_object *)Py_NewRef(network));
    Py_RETURN_NONE;
}

static PyObject *stepper_run(stepper_object *self, PyObject *unused)
{
    bs_status status;
    bs_error err = {0};
    (void)unused;
    if (check_made(self) < 0)
        return NULL;
    if (!self->network) {
        PyErr_SetString(PyExc_RuntimeError, "start(net) must come before run()");
        return NULL;
    }
    network_object *net = (network_object *)Py_NewRef((PyObject *)self->network);
    PyObject *out = NULL;
    if (bs_network_hold(net) == 0) {
        Py_BEGIN_ALLOW_THREADS
        status = bs_stepper_run(self->stepper, &err);
        Py_END_ALLOW_THREADS
        bs_network_let_go(net);
        out = status == BS_OK ? Py_NewRef(Py_None) : bs_raise(&err);
    }
    Py_DECREF(net);
    return out;
}

static PyMethodDef methods[] = {{"get_option", (PyCFunction)(void (*)(void))stepper_get_option,
                                 METH_O, "The present value of an option."},
                                {"set_option", (PyCFunction)(void (*)(void))stepper_set_option,
                                 METH_VARARGS, "Change an option, at any time."},
                                {"state", (PyCFunction)(void (*)(void))stepper_state, METH_VARARGS,
                                 "state(i=0): live view of a state vector, or None."},
                                {"start", (PyCFunction)(void (*)(void))stepper_start, METH_O,
                                 "Bind to a network, with zero velocity."},
                                {"run", (PyCFunction)(void (*)(void))stepper_run, METH_NOARGS,
                                 "One update: forward, backward, step."},
                                {0}};

static PyGetSetDef attributes[] = {{"updates", (getter)(void (*)(void))stepper_get_updates,
                                    (setter)(void (*)(void))stepper_set_updates,
                                    "Count of updates since start.", NULL},
                                   {0}};

static PyType_Slot slots[] = {{Py_tp_doc, "A training method of the engine."},
                              {Py_tp_init, stepper_init},
                              {Py_tp_traverse, stepper_traverse},
                              {Py_tp_clear, stepper_clear},
                              {Py_tp_dealloc, stepper_dealloc},
                              {Py_tp_methods, methods},
                              {Py_tp_getset, attributes},
                              {0, NULL}};

static PyType_Spec spec = {
    .name = "brainstorm._core.Stepper",
    .basicsize = sizeof(stepper_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int bs_stepper_type_add(PyObject *module)
{
    bs_the_core.stepper_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return bs_the_core.stepper_type ? PyModule_AddType(module, bs_the_core.stepper_type) : -1;
}
