/* graph.h - layers and connections as a user gives them, and what comes out: layers in order, each
 * port with its sources. */
#ifndef BS_NETWORK_GRAPH_H
#define BS_NETWORK_GRAPH_H

#include "layers/layer.h"

/* The subtrees of a layer, in the order in which users see them. */
typedef enum bs_category {
    BS_INPUTS,
    BS_OUTPUTS,
    BS_PARAMETERS,
    BS_INTERNALS,
    BS_INPUT_DELTAS,
    BS_OUTPUT_DELTAS,
    BS_GRADIENTS,
    BS_N_CATEGORIES
} bs_category;
extern const char *const bs_category_names[BS_N_CATEGORIES]; /* "inputs", "outputs", ... */

/* ---- what goes in ---- */

typedef struct bs_graph bs_graph;

bs_status bs_graph_create(bs_graph **out, bs_error *err); /* owned: bs_graph_close */
void bs_graph_close(bs_graph *graph);                     /* NULL is allowed */

/* Adds a layer. Name and settings' names are copied; what settings point to (text, shapes, pointer)
 * stays borrowed until bs_network_create has returned. BS_NETWORK: a name twice, or no identifier.
 */
bs_status bs_graph_add(bs_graph *graph, const bs_layer_type *type, const char *name, int n_settings,
                       const bs_setting *settings, bs_error *err);

/* Wires an output of one layer to an input of another; twice the same counts once. `output` is a
 * name, or
 * "..parameters.NAME" or "..internals.NAME". Layers may be added later. */
bs_status bs_graph_connect(bs_graph *graph, const char *start, const char *output, const char *end,
                           const char *input, bs_error *err);

/* ---- what comes out ---- */

typedef struct bs_source { /* something that a port reads */
    int layer;             /* position in bs_wiring */
    bs_category category;  /* BS_OUTPUTS, BS_PARAMETERS or BS_INTERNALS */
    int index;             /* in the layer's declarations */
} bs_source;

typedef struct bs_sources { /* of one port, sorted by path LAYER.CATEGORY.NAME */
    int n;
    bs_source *source;
} bs_sources;

typedef struct bs_wiring {
    int n; /* layers, in the order of execution */
    bs_layer *layer;
    bs_sources **sources; /* [layer][port] */
} bs_wiring;

/* Validates the graph, orders it (by topological depth counted from the sinks, ties by name) and
 * builds the layers, everything in `arena`. BS_NETWORK: not exactly one Input layer or one of
 * another name, something wired into it, a connection to nothing, a cycle, several parts, sources
 * of one port that do not fit together. BS_KEY: an internal without a partner dNAME wired as an
 * output. BS_LAYER: see bs_layer_create. */
bs_status bs_graph_build(const bs_graph *graph, bs_arena *arena, bs_wiring *out, bs_error *err);

/* Writes "LAYER.CATEGORY.NAME"; always terminated. */
void bs_source_text(char *text, size_t size, const bs_wiring *wiring, const bs_source *source);

#endif
