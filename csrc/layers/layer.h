/* layer.h - what a layer is: a type (one const at the end of its file) and an instance in a
 * network.
 *
 * A type declares options, input ports and, in setup, its outputs, parameters and internals.
 * forward and backward see arrays alone (bs_io) and speak only operations of the handler: a layer
 * never touches numbers, never allocates, and asks neither for dtype nor device. */
#ifndef BS_LAYERS_LAYER_H
#define BS_LAYERS_LAYER_H

#include "array/shape.h"
#include "base/memory.h"
#include "handlers/handler.h"
#include "layers/options.h"

typedef enum bs_pass { BS_INFERENCE, BS_TRAINING } bs_pass;

/* How a result goes into a delta or gradient view. BS_SKIP: nobody will look; the view is real
 * memory all the same. */
typedef enum bs_write { BS_SET, BS_ADD, BS_SKIP } bs_write;

/* Updates of parameters p by their gradients g, v = momentum * v - rate * g, p += v, which layers
 * may make of a gradient at once, while it is in the cache. */
typedef struct bs_early_update {
    double rate, momentum;
    const bs_array *velocity; /* flat, as the parameters of the network */
} bs_early_update;

/* What one layer sees of a pass, indexed in the order of declaration. Time-sized arrays are (T, B,
 * ...), those with a context slot (T+1, B, ...) with the state before step 0 in the last row.
 * Features of one dimension may be columns of a wider matrix; those of more are packed, row by row.
 */
typedef struct bs_io {
    const bs_array *in;
    const bs_array *out;
    const bs_array *param;
    const bs_array *inner; /* in forward, backward-only internals have no memory (data NULL) */

    /* in backward only */
    const bs_array *d_in; /* not to be written for a port with BS_NO_DELTA */
    const bs_array *d_out;
    const bs_array *d_param;
    const bs_write *d_in_write;
    const bs_write *d_param_write;
    const bs_write *inner_write;   /* BS_ADD: a consumer of internal NAME has added to dNAME */
    const bs_early_update *update; /* that may be made, or NULL */
    const bs_array *velocity;      /* [parameter], if there is an update */
    char *is_updated;              /* [parameter] for the layer to say so */

    bs_pass pass; /* of the forward pass that ran, in backward too */
} bs_io;

/* ---- types ---- */

/* bs_layer_type.flags */
enum {
    BS_IS_INPUT = 1,     /* its outputs are the external data */
    BS_IS_LOSS = 2,      /* its output is a loss value */
    BS_ANY_INPUTS = 4,   /* the ports are those that are wired */
    BS_WANTS_ZEROED = 8, /* deltas and gradients are zeroed before backward, all marks are BS_ADD */
    BS_FILLS_INTERNALS = 16, /* backward fills internals, which are not backward-only */
    BS_MAY_FAIL = 32 /* passes may fail for reasons of their own, other than for want of memory */
};
/* flags of a port; of a parameter */
enum {
    BS_NO_DELTA = 1, /* nothing flows back (through the port, or from the output) */
    BS_OPTIONAL = 2, /* need not be wired; such ports stand last */
    BS_NO_GRADIENT = 1
};

typedef struct bs_port {
    const char *name;
    const char *pattern; /* a shape template, see array/shape.h */
    unsigned flags;
} bs_port;

typedef struct bs_layer bs_layer;

typedef struct bs_layer_type {
    const char *name;         /* "FullyConnected" */
    const bs_option *options; /* ends with a name of NULL; may be NULL */
    const bs_port *inputs;    /* likewise */
    size_t state_size;        /* bytes; zeroed, in the network's arena: nothing to free */
    unsigned flags;
    bs_status (*setup)(bs_layer *layer, void *state, bs_error *err);
    /* What a network asks before each forward pass: fails if the parameters hold numbers that mean
     * nothing. May be NULL. */
    void (*check)(bs_handler *h, const void *state, const bs_io *io);
    void (*forward)(bs_handler *h, const void *state, const bs_io *io);
    void (*backward)(bs_handler *h, const void *state, const bs_io *io);
} bs_layer_type;

/* The rows of layers.def, NULL-terminated, and one of them by name (NULL: there is none). */
extern const bs_layer_type *const bs_layer_types[];
const bs_layer_type *bs_layer_type_find(const char *name);

/* ---- instances ---- */

typedef struct bs_buffer {
    const char *name;
    bs_shape shape;
    unsigned flags; /* inputs: the port's; outputs: BS_NO_DELTA; parameters: BS_NO_GRADIENT */
    int strip;      /* internals: see bs_add_internal_to_strip; 0: none */
} bs_buffer;

enum { BS_MAX_BUFFERS = 64 }; /* outputs, parameters or internals of one layer */

typedef struct bs_buffers_declared {
    int n;
    bs_buffer *buffer;
} bs_buffers_declared;

struct bs_layer {
    const bs_layer_type *type;
    const char *name;
    void *state;
    bs_arena *arena; /* borrowed; holds everything here */
    bs_buffers_declared in, out, param, inner;
};

/* Builds a layer: parses the settings, checks ports and shapes of the inputs, runs setup. `inputs`
 * (n_inputs of them, in any order) carry name and shape. Everything lives in `arena`; settings are
 * copied where they are kept. BS_LAYER errors name the layer. */
bs_status bs_layer_create(bs_layer *out, bs_arena *arena, const bs_layer_type *type,
                          const char *name, int n_settings, const bs_setting *settings,
                          int n_inputs, const bs_buffer *inputs, bs_error *err);

/* For setup: declare the next output, parameter or internal. The name is copied. BS_LAYER: rank
 * above BS_MAX_FEATURES, a size that is not positive, a name twice, an output or parameter that is
 * backward only.
 *
 * Internals of one strip (a number above 0) want to be columns of one matrix, side by side in the
 * order of declaration; bs_strip() of kit.h sees them as one. They have one feature dimension, and
 * are all backward-only or none. */
bs_status bs_add_output(bs_layer *layer, const char *name, bs_shape shape, bs_error *err);
/* one whose deltas the layer ignores */
bs_status bs_add_final_output(bs_layer *layer, const char *name, bs_shape shape, bs_error *err);
bs_status bs_add_parameter(bs_layer *layer, const char *name, bs_shape shape, unsigned flags,
                           bs_error *err);
bs_status bs_add_internal(bs_layer *layer, const char *name, bs_shape shape, bs_error *err);
bs_status bs_add_internal_to_strip(bs_layer *layer, const char *name, bs_shape shape, int strip,
                                   bs_error *err);

/* What a buffer's shape must be: BS_LAYER for more than BS_MAX_FEATURES dimensions (of a constant
 * one BS_MAX_NDIM), sizes that are not positive, or too many numbers for any memory. */
bs_status bs_check_shape(const char *what, const char *name, const bs_shape *shape, bs_error *err);

/* Position of the buffer called `name`, or -1. */
int bs_find_buffer(const bs_buffers_declared *list, const char *name);

/* Position of the partner of an internal, which takes what flows back: called "d" and its name,
 * backward only and of its shape; or -1. */
int bs_find_partner(const bs_buffers_declared *internals, int internal);

#endif
