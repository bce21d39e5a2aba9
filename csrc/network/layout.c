/* layout.c - leaves, then hubs, then places in them.
 *
 * Sources that feed a common port belong to one group; a group becomes a hub, and what flows back
 * into its members becomes a second hub in the same order. */
#include "network/layout.h"

#include "network/source_order.h"

/* What the functions below share while a layout is built. */
typedef struct builder {
    bs_arena *arena;
    const bs_wiring *wiring;
    bs_layout *layout;
    int *group; /* [leaf]: the smallest leaf that shares its hub (sources only) */
    bs_error *err;
} builder;

static const bs_buffers_declared *declared(const bs_layer *layer, bs_category category)
{
    switch (category) {
    case BS_INPUTS:
    case BS_INPUT_DELTAS: return &layer->in;
    case BS_OUTPUTS:
    case BS_OUTPUT_DELTAS: return &layer->out;
    case BS_INTERNALS: return &layer->inner;
    default: return &layer->param;
    }
}

/* ---- leaves ---- */

static void add_leaf(bs_layout *layout, bs_leaf leaf)
{
    leaf.hub = -1;
    layout->partner[layout->n_leaves] = -1;
    layout->leaf[layout->n_leaves++] = leaf;
}

static void add_root_leaves(builder *b, int64_t n_parameters)
{
    bs_shape flat = bs_fixed_1d(n_parameters);
    add_leaf(
        b->layout,
        (bs_leaf){.name = "parameters", .layer = -1, .category = BS_PARAMETERS, .shape = flat});
    flat.backward_only = 1;
    add_leaf(b->layout,
             (bs_leaf){.name = "gradients", .layer = -1, .category = BS_GRADIENTS, .shape = flat});
}

static void add_layer_leaves(builder *b, int l)
{
    for (int c = 0; c < BS_N_CATEGORIES; c++) {
        const bs_buffers_declared *list = declared(&b->wiring->layer[l], (bs_category)c);
        b->layout->first[l][c] = b->layout->n_leaves;
        for (int i = 0; i < list->n; i++) {
            bs_leaf leaf = {.name = list->buffer[i].name,
                            .layer = l,
                            .category = (bs_category)c,
                            .shape = list->buffer[i].shape};
            leaf.shape.backward_only |= c >= BS_INPUT_DELTAS;
            add_leaf(b->layout, leaf);
        }
    }
}

static void set_partners(builder *b, int l)
{
    static const bs_category forward[] = {BS_INPUTS, BS_OUTPUTS, BS_PARAMETERS};
    static const bs_category back[] = {BS_INPUT_DELTAS, BS_OUTPUT_DELTAS, BS_GRADIENTS};
    const bs_layer *layer = &b->wiring->layer[l];
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < declared(layer, forward[k])->n; i++)
            b->layout->partner[bs_layout_leaf(b->layout, l, forward[k], i)] = bs_layout_leaf(
                b->layout, l, back[k], i);
    for (int i = 0; i < layer->inner.n; i++) {
        const int partner = bs_find_partner(&layer->inner, i);
        if (partner >= 0)
            b->layout->partner[bs_layout_leaf(b->layout, l, BS_INTERNALS, i)] = bs_layout_leaf(
                b->layout, l, BS_INTERNALS, partner);
    }
}

static bs_status make_leaves(builder *b)
{
    const bs_wiring *w = b->wiring;
    int n = 2;
    int64_t n_parameters = 0;
    for (int l = 0; l < w->n; l++) {
        for (int c = 0; c < BS_N_CATEGORIES; c++)
            n += declared(&w->layer[l], (bs_category)c)->n;
        for (int i = 0; i < w->layer[l].param.n; i++)
            n_parameters += bs_shape_size(&w->layer[l].param.buffer[i].shape);
        if (n_parameters > BS_MAX_SIZE)
            return bs_fail(b->err, BS_NETWORK, "the parameters are too many for any memory");
    }
    BS_TRY(BS_ARENA_NEW(b->arena, &b->layout->leaf, n, "a layout", b->err));
    BS_TRY(BS_ARENA_NEW(b->arena, &b->layout->hub, n, "a layout", b->err));
    BS_TRY(BS_ARENA_NEW(b->arena, &b->layout->partner, n, "a layout", b->err));
    BS_TRY(BS_ARENA_NEW(b->arena, &b->layout->first, w->n, "a layout", b->err));
    BS_TRY(BS_ARENA_NEW(b->arena, &b->group, n, "a layout", b->err));
    add_root_leaves(b, n_parameters);
    for (int l = 0; l < w->n; l++) {
        add_layer_leaves(b, l);
        set_partners(b, l);
    }
    return BS_OK;
}

/* ---- parameters: one hub, layers sorted by the path of their first parameter ---- */

static int compare_first_parameter(const bs_layer *a, const bs_layer *b)
{
    const char *category = bs_category_names[BS_PARAMETERS];
    const bs_path x = {{a->name, category, a->param.buffer[0].name}};
    const bs_path y = {{b->name, category, b->param.buffer[0].name}};
    return bs_path_compare(&x, &y);
}

static int add_hub(bs_layout *layout, bs_hub hub)
{
    layout->hub[layout->n_hubs] = hub;
    return layout->n_hubs++;
}

static void place_parameters(builder *b, int *order)
{
    const bs_wiring *w = b->wiring;
    bs_layout *layout = b->layout;
    int n = 0;
    int64_t at = 0;
    for (int l = 0; l < w->n; l++) {
        int k = n;
        if (!w->layer[l].param.n)
            continue;
        for (n++; k > 0 && compare_first_parameter(&w->layer[order[k - 1]], &w->layer[l]) > 0; k--)
            order[k] = order[k - 1];
        order[k] = l;
    }
    for (int back = 0; back < 2; back++) {
        const bs_category category = back ? BS_GRADIENTS : BS_PARAMETERS;
        bs_leaf *root = &layout->leaf[back ? BS_LEAF_GRADIENTS : BS_LEAF_PARAMETERS];
        root->hub = add_hub(layout, (bs_hub){.scale = BS_FIXED,
                                             .backward_only = back,
                                             .n_sources = 1,
                                             .rank = 1,
                                             .pixels = 1,
                                             .columns = root->shape.dim[0]});
        at = 0;
        for (int k = 0; k < n; k++)
            for (int i = 0; i < w->layer[order[k]].param.n; i++) {
                bs_leaf *leaf = &layout->leaf[bs_layout_leaf(layout, order[k], category, i)];
                leaf->hub = root->hub;
                leaf->column = at;
                at += bs_shape_size(&leaf->shape);
            }
    }
}

/* ---- which sources share a hub ---- */

static int find_group(const builder *b, int leaf)
{
    while (b->group[leaf] != leaf)
        leaf = b->group[leaf];
    return leaf;
}

/* Sources that feed a common port get a common group. */
static void group_sources(builder *b)
{
    for (int i = 0; i < b->layout->n_leaves; i++)
        b->group[i] = i;
    for (int l = 0; l < b->wiring->n; l++)
        for (int p = 0; p < b->wiring->layer[l].in.n; p++) {
            const bs_sources *s = &b->wiring->sources[l][p];
            for (int k = 1; k < s->n; k++) {
                const int x = find_group(b, bs_source_leaf(b->layout, &s->source[0]));
                const int y = find_group(b, bs_source_leaf(b->layout, &s->source[k]));
                b->group[x > y ? x : y] = x < y ? x : y;
            }
        }
}

/* ---- hubs ---- */

/* One hub for the leaves side by side. */
static void place_side_by_side(bs_layout *layout, int n, const int *member)
{
    const bs_shape *first = &layout->leaf[member[0]].shape;
    bs_hub hub = {.scale = first->scale,
                  .backward_only = first->backward_only,
                  .n_sources = n,
                  .rank = first->ndim,
                  .pixels = n == 1 ? 1 : bs_shape_size(first) / first->dim[first->ndim - 1]};
    for (int i = 0; i < n; i++) {
        bs_leaf *leaf = &layout->leaf[member[i]];
        leaf->column = hub.columns;
        leaf->hub = layout->n_hubs;
        hub.columns += bs_shape_size(&leaf->shape) / hub.pixels;
        if (leaf->shape.context > hub.context)
            hub.context = leaf->shape.context;
    }
    add_hub(layout, hub);
}

/* The hub of the group whose smallest leaf is `root`, and the one of what flows back. */
static bs_status place_group(builder *b, int root, int *member)
{
    bs_layout *layout = b->layout;
    int n = 0;
    for (int i = root; i < layout->n_leaves; i++)
        if (find_group(b, i) == root)
            member[n++] = i;
    BS_TRY(bs_order_sources(layout, b->wiring, b->arena, n, member, b->err));
    place_side_by_side(layout, n, member);
    if (n > 1 || layout->leaf[root].category == BS_OUTPUTS) {
        for (int i = 0; i < n; i++)
            member[i] = layout->partner[member[i]];
        place_side_by_side(layout, n, member);
    }
    return BS_OK;
}

static bs_status place_sources(builder *b, int *member)
{
    bs_layout *layout = b->layout;
    group_sources(b);
    /* joined ones first: they decide where their partners stand */
    for (int joined = 1; joined >= 0; joined--)
        for (int i = 2; i < layout->n_leaves; i++) {
            const bs_category category = layout->leaf[i].category;
            if ((category != BS_OUTPUTS && category != BS_INTERNALS) || b->group[i] != i ||
                layout->leaf[i].hub >= 0)
                continue;
            int has_others = 0;
            for (int k = i + 1; k < layout->n_leaves; k++)
                has_others |= find_group(b, k) == i;
            if (has_others == joined)
                BS_TRY(place_group(b, i, member));
        }
    return BS_OK;
}

/* An input starts where the first of its sources does; the same for what flows back. One without
 * sources has memory of its own. */
static void place_input(builder *b, int input, const bs_sources *s)
{
    bs_layout *layout = b->layout;
    for (int back = 0; back < 2; back++) {
        const int leaf = back ? layout->partner[input] : input;
        bs_leaf *view = &layout->leaf[leaf];
        if (!s->n)
            place_side_by_side(layout, 1, &leaf);
        for (int k = 0; k < s->n; k++) {
            const int from = bs_source_leaf(layout, &s->source[k]);
            const bs_leaf *source = &layout->leaf[back ? layout->partner[from] : from];
            if (k == 0 || source->column < view->column)
                view->column = source->column;
            view->hub = source->hub;
        }
    }
}

static void place_inputs(builder *b)
{
    for (int l = 0; l < b->wiring->n; l++)
        for (int p = 0; p < b->wiring->layer[l].in.n; p++)
            place_input(b, bs_layout_leaf(b->layout, l, BS_INPUTS, p), &b->wiring->sources[l][p]);
}

/* Renumbers the hubs: by backward only, scale, first appearance. */
static bs_status sort_hubs(builder *b)
{
    bs_layout *layout = b->layout;
    int *new_number, n = 0;
    bs_hub *sorted;
    BS_TRY(BS_ARENA_NEW(b->arena, &new_number, layout->n_hubs, "a layout", b->err));
    BS_TRY(BS_ARENA_NEW(b->arena, &sorted, layout->n_hubs, "a layout", b->err));
    for (int i = 0; i < layout->n_hubs; i++)
        new_number[i] = -1;
    for (int back = 0; back < 2; back++)
        for (int scale = BS_FIXED; scale <= BS_TIME; scale++)
            for (int i = 0; i < layout->n_leaves; i++) {
                const int hub = layout->leaf[i].hub;
                if (new_number[hub] >= 0 || layout->hub[hub].backward_only != back ||
                    (int)layout->hub[hub].scale != scale)
                    continue;
                sorted[n] = layout->hub[hub];
                new_number[hub] = n++;
            }
    layout->hub = sorted;
    for (int i = 0; i < layout->n_leaves; i++)
        layout->leaf[i].hub = new_number[layout->leaf[i].hub];
    return BS_OK;
}

/* The internal of the same strip that was declared before internal i, or -1. */
static int before_in_strip(const bs_buffers_declared *inner, int i)
{
    for (int k = i - 1; k >= 0 && inner->buffer[i].strip; k--)
        if (inner->buffer[k].strip == inner->buffer[i].strip)
            return k;
    return -1;
}

/* Internals of one strip become columns of one host, unless they are wired into a port with others:
 * then the place beside them is taken. */
static void join_strips(bs_layout *layout, const bs_wiring *wiring)
{
    for (int i = 0; i < layout->n_hubs; i++) {
        layout->hub[i].host = i;
        layout->hub[i].row = layout->hub[i].columns;
    }
    for (int l = 0; l < wiring->n; l++)
        for (int i = 0; i < wiring->layer[l].inner.n; i++) {
            const int left = before_in_strip(&wiring->layer[l].inner, i);
            const int first = layout->first[l][BS_INTERNALS];
            if (left < 0)
                continue;
            bs_hub *hub = &layout->hub[layout->leaf[first + i].hub];
            const int host = layout->hub[layout->leaf[first + left].hub].host;
            if (hub->n_sources > 1 || layout->hub[host].n_sources > 1)
                continue;
            hub->host = host;
            hub->host_column = layout->hub[host].row;
            layout->hub[host].row += hub->row;
            hub->row = 0;
        }
}

bs_status bs_layout_create(bs_layout *out, bs_arena *arena, const bs_wiring *wiring, bs_error *err)
{
    builder b = {.arena = arena, .wiring = wiring, .layout = out, .err = err};
    int *work;
    *out = (bs_layout){0};
    BS_TRY(make_leaves(&b));
    BS_TRY(BS_ARENA_NEW(arena, &work, out->n_leaves + wiring->n, "a layout", err));
    place_parameters(&b, work);
    BS_TRY(place_sources(&b, work));
    place_inputs(&b);
    BS_TRY(sort_hubs(&b));
    join_strips(out, wiring);
    return BS_OK;
}
