/* network.h - _core.Network and what other files of this room need of it. */
#ifndef BS_PYTHON_NETWORK_H
#define BS_PYTHON_NETWORK_H

#include "python/core.h"

typedef struct network_object {
    PyObject_HEAD bs_network *net; /* NULL before __init__ has succeeded */
    PyObject *handler, *stream, *gradient_hook;
    PyObject *layers;    /* list of (name, type, kwargs), as given */
    PyObject *made;      /* list of (name, what the factory returned) */
    unsigned long owner; /* thread that holds the network, 0: none */
    int is_lean;
} network_object;

int bs_network_alive(
    const network_object *self);           /* 0, or -1 with RuntimeError if it was not built */
int bs_network_hold(network_object *self); /* likewise, or if somebody else is inside */
void bs_network_let_go(network_object *self);

/* network_build.c: sets net, layers and made from lists; what settings borrow from lives until it
 * returns. 0, or -1 with an exception. */
int bs_network_build(network_object *self, PyObject *layers, PyObject *connections);

/* network_inside.c */
PyObject *bs_network_tree(network_object *self, void *unused);
PyObject *bs_network_layer_infos(network_object *self, PyObject *unused);
PyObject *bs_network_parameter_order(network_object *self, PyObject *unused);
PyObject *bs_network_context_leaves(network_object *self, PyObject *unused);
PyObject *bs_network_leaf(network_object *self, PyObject *index);
PyObject *bs_network_loss_values(network_object *self, PyObject *unused);

#endif
