/* topology.h - whether a graph makes a network, and in which order its layers run. */
#ifndef BS_NETWORK_TOPOLOGY_H
#define BS_NETWORK_TOPOLOGY_H

#include "network/graph.h"

/* Sets order[0 .. n_nodes) to the nodes by topological depth counted from the sinks, ties by name,
 * and from and to of all edges. BS_NETWORK: not exactly one Input layer or one of another name,
 * something wired into it, a connection to nothing, a cycle, several parts. */
bs_status bs_topology_sort(const bs_graph *graph, bs_arena *arena, int *order, bs_error *err);

#endif
