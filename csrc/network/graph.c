/* graph.c - collects names; nothing is judged here but names themselves. */
#include "network/graph.h"

#include <ctype.h>
#include <string.h>

bs_status bs_graph_create(bs_graph **out, bs_error *err)
{
    *out = bs_alloc(sizeof **out);
    return *out ? BS_OK : bs_fail(err, BS_NO_MEMORY, "no memory for a graph");
}

void bs_graph_close(bs_graph *graph)
{
    if (graph)
        bs_arena_close(&graph->arena);
    bs_free(graph);
}

/* The array of n elements, moved within the arena if it has no room for one more; NULL if there is
 * no memory. */
static void *with_room(bs_arena *arena, void *array, int n, int *room, size_t size)
{
    if (n < *room)
        return array;
    const int more = *room ? 2 * *room : 8;
    void *bigger = bs_arena_alloc(arena, (size_t)more * size);
    if (bigger && n)
        memcpy(bigger, array, (size_t)n * size);
    if (bigger)
        *room = more;
    return bigger;
}

static int is_identifier(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_' && !(*name & 0x80))
        return 0;
    /* whether characters beyond ASCII are letters is for those to judge who know the encoding */
    while (isalnum((unsigned char)*name) || *name == '_' || (*name & 0x80))
        name++;
    return !*name;
}

int bs_graph_find(const bs_graph *graph, const char *name)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return i;
    return -1;
}

bs_status bs_graph_add(bs_graph *graph, const bs_layer_type *type, const char *name, int n_settings,
                       const bs_setting *settings, bs_error *err)
{
    bs_node new = {.type = type, .n_settings = n_settings};
    if (!is_identifier(name))
        return bs_fail(err, BS_NETWORK, "layer name '%s' is not an identifier", name);
    if (bs_graph_find(graph, name) >= 0)
        return bs_fail(err, BS_NETWORK, "there are two layers called '%s'", name);
    bs_node *nodes = with_room(&graph->arena, graph->nodes, graph->n_nodes, &graph->node_room,
                               sizeof new);
    if (!nodes)
        return bs_fail(err, BS_NO_MEMORY, "no memory for layer '%s'", name);
    graph->nodes = nodes;
    BS_TRY(BS_ARENA_NEW(&graph->arena, &new.settings, n_settings, "the settings of a layer", err));
    new.name = bs_arena_text(&graph->arena, name);
    for (int i = 0; i < n_settings; i++) {
        new.settings[i] = settings[i];
        new.settings[i].name = bs_arena_text(&graph->arena, settings[i].name);
        if (!new.settings[i].name)
            new.name = NULL;
    }
    if (!new.name)
        return bs_fail(err, BS_NO_MEMORY, "no memory for layer '%s'", name);
    graph->nodes[graph->n_nodes++] = new;
    return BS_OK;
}

static int same_edge(const bs_edge *a, const bs_edge *b)
{
    return !strcmp(a->start, b->start) && !strcmp(a->output, b->output) &&
           !strcmp(a->end, b->end) && !strcmp(a->input, b->input);
}

bs_status bs_graph_connect(bs_graph *graph, const char *start, const char *output, const char *end,
                           const char *input, bs_error *err)
{
    bs_edge new = {.start = start, .output = output, .end = end, .input = input};
    for (int i = 0; i < graph->n_edges; i++)
        if (same_edge(&graph->edges[i], &new))
            return BS_OK;
    bs_edge *edges = with_room(&graph->arena, graph->edges, graph->n_edges, &graph->edge_room,
                               sizeof new);
    if (edges)
        graph->edges = edges;
    new = (bs_edge){.start = bs_arena_text(&graph->arena, start),
                    .output = bs_arena_text(&graph->arena, output),
                    .end = bs_arena_text(&graph->arena, end),
                    .input = bs_arena_text(&graph->arena, input)};
    if (!edges || !new.start || !new.output || !new.end || !new.input)
        return bs_fail(err, BS_NO_MEMORY, "no memory for a connection");
    graph->edges[graph->n_edges++] = new;
    return BS_OK;
}
