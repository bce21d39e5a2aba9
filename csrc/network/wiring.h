/* wiring.h - a valid graph: its layers built and in order, and the sources of every port. */
#ifndef BS_NETWORK_WIRING_H
#define BS_NETWORK_WIRING_H

#include "network/graph.h"

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

/* Orders the graph (see bs_topology_sort) and builds the layers, everything in `arena`. BS_NETWORK:
 * the graph makes no network, or sources of one port do not fit together. BS_KEY: an internal
 * without a partner dNAME wired as an output. BS_LAYER: see bs_layer_create. */
bs_status bs_wiring_create(bs_wiring *out, bs_arena *arena, const bs_graph *graph, bs_error *err);

/* The wiring of layers that are built already (borrowed), in the order in which they are given. A
 * port need not have a source. BS_NETWORK: a connection to nothing, shapes that do not fit. */
bs_status bs_wiring_of_layers(bs_wiring *out, bs_arena *arena, int n, bs_layer *layers, int n_edges,
                              const bs_edge *edges, bs_error *err);

/* Order of the paths "LAYER.CATEGORY.NAME" of two leaves, as strcmp would tell it. */
typedef struct bs_path {
    const char *part[3];
} bs_path;
int bs_path_compare(const bs_path *a, const bs_path *b);

/* Writes "LAYER.CATEGORY.NAME", cut if need be (for messages); always terminated. */
void bs_source_text(char *text, size_t size, const bs_wiring *wiring, const bs_source *source);

#endif
