/* graph.h - layers and connections as a user gives them, by name. wiring.h makes a network of them.
 */
#ifndef BS_NETWORK_GRAPH_H
#define BS_NETWORK_GRAPH_H

#include "layers/layer.h"

typedef struct bs_node { /* a layer */
    const bs_layer_type *type;
    const char *name;
    int n_settings;
    bs_setting *settings;
} bs_node;

typedef struct bs_edge { /* a connection */
    const char *start, *output, *end, *input;
    int from, to; /* nodes; set by bs_topology_sort */
} bs_edge;

typedef struct bs_graph {
    bs_arena arena;
    int n_nodes, n_edges, node_room, edge_room;
    bs_node *nodes;
    bs_edge *edges;
} bs_graph;

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

/* Position of the layer called `name` in nodes, or -1. */
int bs_graph_find(const bs_graph *graph, const char *name);

#endif
