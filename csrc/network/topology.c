/* topology.c - validation of names and connections, and the order of execution. */
#include "network/topology.h"

#include <stdio.h>
#include <string.h>

/* ---- validation ---- */

static bs_status resolve_edges(const bs_graph *graph, bs_error *err)
{
    for (int i = 0; i < graph->n_edges; i++) {
        bs_edge *e = &graph->edges[i];
        e->from = bs_graph_find(graph, e->start);
        e->to = bs_graph_find(graph, e->end);
        if (e->from >= 0 && e->to >= 0)
            continue;
        bs_fail(err, BS_NETWORK,
                "connection %s.%s -> %s.%s: there is no layer '%s'; there are: ", e->start,
                e->output, e->end, e->input, e->from < 0 ? e->start : e->end);
        for (int n = 0; n < graph->n_nodes; n++)
            bs_error_append(err, "%s%s", n ? ", " : "", graph->nodes[n].name);
        return BS_NETWORK;
    }
    return BS_OK;
}

static bs_status check_input_layer(const bs_graph *graph, bs_error *err)
{
    const char *found = NULL;
    for (int i = 0; i < graph->n_nodes; i++) {
        if (!(graph->nodes[i].type->flags & BS_IS_INPUT))
            continue;
        if (found)
            return bs_fail(err, BS_NETWORK,
                           "there must be exactly one Input layer, found '%s' and '%s'", found,
                           graph->nodes[i].name);
        found = graph->nodes[i].name;
    }
    if (!found)
        return bs_fail(err, BS_NETWORK,
                       "there is no Input layer among the %d layers of the network",
                       graph->n_nodes);
    if (strcmp(found, "Input") != 0)
        return bs_fail(err, BS_NETWORK, "the Input layer must be called 'Input', not '%s'", found);
    for (int i = 0; i < graph->n_edges; i++)
        if (strcmp(graph->edges[i].end, found) == 0)
            return bs_fail(err, BS_NETWORK,
                           "nothing can be wired into the Input layer, but '%s' is",
                           graph->edges[i].start);
    return BS_OK;
}

/* Every layer must be reachable from the first one, along connections in either direction. */
static bs_status check_connected(const bs_graph *graph, int *seen, bs_error *err)
{
    int changed = 1;
    memset(seen, 0, (size_t)graph->n_nodes * sizeof *seen);
    seen[bs_graph_find(graph, "Input")] = 1;
    while (changed) {
        changed = 0;
        for (int i = 0; i < graph->n_edges; i++) {
            const bs_edge *e = &graph->edges[i];
            if (seen[e->from] != seen[e->to])
                seen[e->from] = seen[e->to] = changed = 1;
        }
    }
    for (int i = 0; i < graph->n_nodes; i++)
        if (!seen[i])
            return bs_fail(err, BS_NETWORK, "layer '%s' is not connected to the Input layer",
                           graph->nodes[i].name);
    return BS_OK;
}

/* ---- order ---- */

/* Follows successors that are not placed until a layer comes again: the first lap finds a layer on
 * the cycle, the second one names it. */
static bs_status fail_with_cycle(const bs_graph *graph, const int *placed, int *seen, bs_error *err)
{
    char text[BS_ERROR_TEXT] = "";
    int at = 0;
    memset(seen, 0, (size_t)graph->n_nodes * sizeof *seen);
    while (placed[at])
        at++;
    for (int lap = 0; lap < 2; lap++) {
        const int start = at;
        do {
            const size_t used = strlen(text);
            seen[at] = 1;
            if (lap == 1)
                snprintf(text + used, sizeof text - used, "%s -> ", graph->nodes[at].name);
            int next = -1;
            for (int i = 0; i < graph->n_edges && next < 0; i++)
                if (graph->edges[i].from == at && !placed[graph->edges[i].to])
                    next = graph->edges[i].to;
            at = next;
        } while (lap == 0 ? !seen[at] : at != start);
    }
    return bs_fail(err, BS_NETWORK, "the layers form a cycle: %.400s%s", text,
                   graph->nodes[at].name);
}

/* order[] = nodes by depth counted from the sinks, ties by name; the others are work space for one
 * int per node. */
static bs_status sort_nodes(const bs_graph *graph, int *order, int *placed, int *waiting,
                            int *level, bs_error *err)
{
    int n = 0;
    for (int k = 0; k < graph->n_edges; k++)
        waiting[graph->edges[k].from]++; /* for its successors to be placed */
    while (n < graph->n_nodes) {
        int n_level = 0;
        for (int i = 0; i < graph->n_nodes; i++) {
            if (placed[i] || waiting[i])
                continue;
            int k = n_level++; /* insert, names descending */
            for (; k > 0 && strcmp(graph->nodes[level[k - 1]].name, graph->nodes[i].name) < 0; k--)
                level[k] = level[k - 1];
            level[k] = i;
        }
        if (n_level == 0)
            return fail_with_cycle(graph, placed, level, err);
        for (int k = 0; k < n_level; k++) {
            placed[level[k]] = 1;
            order[graph->n_nodes - 1 - n++] = level[k];
        }
        for (int k = 0; k < graph->n_edges; k++)
            if (placed[graph->edges[k].to] == 1)
                waiting[graph->edges[k].from]--;
        for (int k = 0; k < n_level; k++)
            placed[level[k]] = 2; /* its predecessors know */
    }
    return BS_OK;
}

bs_status bs_topology_sort(const bs_graph *graph, bs_arena *arena, int *order, bs_error *err)
{
    const int n = graph->n_nodes;
    int *placed, *waiting, *work;
    BS_TRY(BS_ARENA_NEW(arena, &placed, n, "a graph", err));
    BS_TRY(BS_ARENA_NEW(arena, &waiting, n, "a graph", err));
    BS_TRY(BS_ARENA_NEW(arena, &work, n, "a graph", err));
    BS_TRY(resolve_edges(graph, err));
    BS_TRY(check_input_layer(graph, err));
    BS_TRY(check_connected(graph, work, err));
    return sort_nodes(graph, order, placed, waiting, work, err);
}
