/* wiring.c - from names and connections to layers in order, and the sources of their ports.
 *
 * Layers are built in the order of execution, since the shapes of a layer's inputs are those of
 * outputs that stand before it. */
#include "network/wiring.h"

#include <stdio.h>
#include <string.h>

#include "network/topology.h"

const char *const bs_category_names[BS_N_CATEGORIES] = {
    "inputs", "outputs", "parameters", "internals", "input_deltas", "output_deltas", "gradients"};

/* ---- building ---- */

static const bs_buffer *source_buffer(const bs_wiring *wiring, const bs_source *s)
{
    const bs_layer *layer = &wiring->layer[s->layer];
    return s->category == BS_OUTPUTS      ? &layer->out.buffer[s->index]
           : s->category == BS_PARAMETERS ? &layer->param.buffer[s->index]
                                          : &layer->inner.buffer[s->index];
}

static bs_path source_path(const bs_wiring *wiring, const bs_source *s)
{
    return (bs_path){{wiring->layer[s->layer].name, bs_category_names[s->category],
                      source_buffer(wiring, s)->name}};
}

void bs_source_text(char *text, size_t size, const bs_wiring *wiring, const bs_source *source)
{
    const bs_path path = source_path(wiring, source);
    snprintf(text, size, "%s.%s.%s", path.part[0], path.part[1], path.part[2]);
}

/* The next character of the path as one text; *part and *at move on. */
static unsigned char next_character(const bs_path *path, int *part, const char **at)
{
    if (**at)
        return (unsigned char)*(*at)++;
    if (*part == 2)
        return 0;
    *at = path->part[++*part];
    return '.';
}

int bs_path_compare(const bs_path *a, const bs_path *b)
{
    int part_a = 0, part_b = 0;
    const char *at_a = a->part[0], *at_b = b->part[0];
    for (;;) {
        const unsigned char x = next_character(a, &part_a, &at_a);
        const unsigned char y = next_character(b, &part_b, &at_b);
        if (x != y)
            return x < y ? -1 : 1;
        if (!x)
            return 0;
    }
}

/* What `output` of a layer that is built already means. */
static bs_status find_source(const bs_layer *layer, const char *output, bs_source *out,
                             bs_error *err)
{
    const bs_buffers_declared *list = &layer->out;
    const char *name = output;
    out->category = BS_OUTPUTS;
    if (strncmp(output, "..parameters.", 13) == 0) {
        out->category = BS_PARAMETERS, list = &layer->param, name = output + 13;
    } else if (strncmp(output, "..internals.", 12) == 0) {
        out->category = BS_INTERNALS, list = &layer->inner, name = output + 12;
    }
    out->index = bs_find_buffer(list, name);
    if (out->index < 0) {
        bs_fail(err, BS_NETWORK, "layer '%s' has no %s '%s'; it has: %s", layer->name,
                out->category == BS_OUTPUTS ? "output" : bs_category_names[out->category], name,
                list->n ? "" : "none");
        for (int i = 0; i < list->n; i++)
            bs_error_append(err, "%s%s", i ? ", " : "", list->buffer[i].name);
        return BS_NETWORK;
    }
    if (out->category == BS_INTERNALS &&
        (list->buffer[out->index].shape.backward_only || bs_find_partner(list, out->index) < 0))
        return bs_fail(err, BS_KEY,
                       "internal '%s' of layer '%s' cannot be wired: it has no partner 'd%s', "
                       "backward only and of its shape, for what flows back",
                       name, layer->name, name);
    return BS_OK;
}

/* The shape that a port takes from its sources: that of the one, or all of them joined along the
 * last dimension. */
static bs_status join_shapes(const bs_wiring *wiring, const char *layer, const char *port,
                             const bs_sources *s, bs_shape *out, bs_error *err)
{
    *out = source_buffer(wiring, &s->source[0])->shape;
    out->context = out->backward_only = 0;
    for (int i = 1; i < s->n; i++) {
        bs_shape joined = *out;
        const bs_shape *next = &source_buffer(wiring, &s->source[i])->shape;
        const int last = out->ndim - 1;
        if (last >= 0 && out->ndim == next->ndim)
            joined.dim[last] = next->dim[last];
        if (last < 0 || !bs_shape_equal(&joined, next)) {
            char a[120], b[120], path[200];
            bs_shape_text(a, sizeof a, out);
            bs_shape_text(b, sizeof b, next);
            bs_source_text(path, sizeof path, wiring, &s->source[i]);
            return bs_fail(
                err, BS_NETWORK,
                "input '%s' of layer '%s' has several sources that do not fit: %s is %s, "
                "beside %s",
                port, layer, path, b, a);
        }
        if (s->source[i].category == BS_PARAMETERS || s->source[0].category == BS_PARAMETERS)
            return bs_fail(err, BS_NETWORK,
                           "input '%s' of layer '%s': parameters cannot be joined with other "
                           "sources, since they stand in the vector of all parameters",
                           port, layer);
        out->dim[last] += next->dim[last];
        if (out->dim[last] > BS_MAX_SIZE || bs_shape_size(out) > BS_MAX_SIZE)
            return bs_fail(err, BS_NETWORK, "input '%s' of layer '%s' is too large for any memory",
                           port, layer);
    }
    return BS_OK;
}

/* Adds a source to a port's list, which stays sorted by path. */
static void insert_source(const bs_wiring *wiring, bs_sources *list, bs_source new)
{
    const bs_path path = source_path(wiring, &new);
    int k = list->n++;
    for (; k > 0; k--) {
        const bs_path other = source_path(wiring, &list->source[k - 1]);
        if (bs_path_compare(&other, &path) < 0)
            break;
        list->source[k] = list->source[k - 1];
    }
    list->source[k] = new;
}

/* The ports that are wired into node `i`, with their sources; position[] says where each node
 * stands in the wiring. */
static bs_status collect_ports(const bs_graph *graph, int i, const int *position,
                               const bs_wiring *wiring, bs_arena *arena, int *n_ports,
                               bs_buffer **ports, bs_sources **sources, bs_error *err)
{
    int n_in = 0;
    *n_ports = 0;
    for (int k = 0; k < graph->n_edges; k++)
        n_in += graph->edges[k].to == i;
    BS_TRY(BS_ARENA_NEW(arena, ports, n_in, "ports", err));
    BS_TRY(BS_ARENA_NEW(arena, sources, n_in, "ports", err));
    for (int k = 0; k < graph->n_edges; k++) {
        const bs_edge *e = &graph->edges[k];
        bs_source source = {.layer = position[e->from]};
        int p = 0;
        if (e->to != i)
            continue;
        BS_TRY(find_source(&wiring->layer[source.layer], e->output, &source, err));
        while (p < *n_ports && strcmp((*ports)[p].name, e->input) != 0)
            p++;
        if (p == *n_ports) {
            (*ports)[p].name = bs_arena_text(arena, e->input);
            if (!(*ports)[p].name)
                return bs_fail(err, BS_NO_MEMORY, "no memory for a port");
            BS_TRY(BS_ARENA_NEW(arena, &(*sources)[p].source, n_in, "sources", err));
            ++*n_ports;
        }
        insert_source(wiring, &(*sources)[p], source);
    }
    for (int p = 0; p < *n_ports; p++)
        BS_TRY(join_shapes(wiring, graph->nodes[i].name, (*ports)[p].name, &(*sources)[p],
                           &(*ports)[p].shape, err));
    return BS_OK;
}

/* Builds layer number `at`, node `i`, and brings the sources into the order of its declared ports.
 */
static bs_status build_layer(const bs_graph *graph, int i, int at, const int *position,
                             bs_wiring *wiring, bs_arena *arena, bs_error *err)
{
    const bs_node *n = &graph->nodes[i];
    bs_layer *layer = &wiring->layer[at];
    bs_buffer *ports;
    bs_sources *sources;
    int n_ports;
    BS_TRY(collect_ports(graph, i, position, wiring, arena, &n_ports, &ports, &sources, err));
    BS_TRY(bs_layer_create(layer, arena, n->type, n->name, n->n_settings, n->settings, n_ports,
                           ports, err));
    BS_TRY(BS_ARENA_NEW(arena, &wiring->sources[at], layer->in.n, "ports", err));
    for (int p = 0; p < n_ports; p++)
        wiring->sources[at][bs_find_buffer(&layer->in, ports[p].name)] = sources[p];
    return BS_OK;
}

bs_status bs_wiring_create(bs_wiring *out, bs_arena *arena, const bs_graph *graph, bs_error *err)
{
    const int n = graph->n_nodes;
    int *order, *position;
    *out = (bs_wiring){.n = n};
    BS_TRY(BS_ARENA_NEW(arena, &order, n, "a graph", err));
    BS_TRY(BS_ARENA_NEW(arena, &position, n, "a graph", err));
    BS_TRY(BS_ARENA_NEW(arena, &out->layer, n, "layers", err));
    BS_TRY(BS_ARENA_NEW(arena, &out->sources, n, "ports", err));
    BS_TRY(bs_topology_sort(graph, arena, order, err));
    for (int at = 0; at < n; at++)
        position[order[at]] = at;
    for (int at = 0; at < n; at++)
        BS_TRY(build_layer(graph, order[at], at, position, out, arena, err));
    return BS_OK;
}

/* ---- of layers that are built already ---- */

static int find_layer(const bs_wiring *wiring, const char *name)
{
    for (int l = 0; l < wiring->n; l++)
        if (strcmp(wiring->layer[l].name, name) == 0)
            return l;
    return -1;
}

static bs_status add_edge(bs_wiring *wiring, bs_arena *arena, int n_edges, const bs_edge *e,
                          bs_error *err)
{
    bs_source source = {.layer = find_layer(wiring, e->start)};
    const int end = find_layer(wiring, e->end);
    const int port = end < 0 ? -1 : bs_find_buffer(&wiring->layer[end].in, e->input);
    if (source.layer < 0 || port < 0)
        return bs_fail(err, BS_NETWORK, "connection %s.%s -> %s.%s: there is no %s", e->start,
                       e->output, e->end, e->input,
                       source.layer < 0 || end < 0 ? "such layer" : "such input");
    BS_TRY(find_source(&wiring->layer[source.layer], e->output, &source, err));
    bs_sources *sources = &wiring->sources[end][port];
    if (!sources->source)
        BS_TRY(BS_ARENA_NEW(arena, &sources->source, n_edges, "sources", err));
    insert_source(wiring, sources, source);
    return BS_OK;
}

bs_status bs_wiring_of_layers(bs_wiring *out, bs_arena *arena, int n, bs_layer *layers, int n_edges,
                              const bs_edge *edges, bs_error *err)
{
    *out = (bs_wiring){.n = n, .layer = layers};
    BS_TRY(BS_ARENA_NEW(arena, &out->sources, n, "ports", err));
    for (int l = 0; l < n; l++)
        BS_TRY(BS_ARENA_NEW(arena, &out->sources[l], layers[l].in.n, "ports", err));
    for (int i = 0; i < n_edges; i++)
        BS_TRY(add_edge(out, arena, n_edges, &edges[i], err));
    for (int l = 0; l < n; l++)
        for (int p = 0; p < layers[l].in.n; p++) {
            const bs_buffer *port = &layers[l].in.buffer[p];
            bs_shape shape = port->shape;
            if (out->sources[l][p].n)
                BS_TRY(
                    join_shapes(out, layers[l].name, port->name, &out->sources[l][p], &shape, err));
            if (!bs_shape_equal(&shape, &port->shape)) {
                char got[120], wanted[120];
                bs_shape_text(got, sizeof got, &shape);
                bs_shape_text(wanted, sizeof wanted, &port->shape);
                return bs_fail(err, BS_NETWORK, "input '%s' of layer '%s' gets %s, expected %s",
                               port->name, layers[l].name, got, wanted);
            }
        }
    return BS_OK;
}
