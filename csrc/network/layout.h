/* layout.h - which buffers there are and which of them share memory: a pure function of the wiring.
 *
 * A *leaf* is one buffer as users see it. A *hub* is memory for one or several leaves side by side:
 * outputs and internals that are wired into the same port share a hub, and a consumer's input is a
 * view of the columns of its sources. So inputs are never copied. What flows back stands in a hub
 * of the same order. All parameters are one hub, all gradients another. */
#ifndef BS_NETWORK_LAYOUT_H
#define BS_NETWORK_LAYOUT_H

#include "network/wiring.h"

typedef struct bs_leaf {
    const char *name;
    int layer; /* -1: the root's parameters and gradients */
    bs_category category;
    bs_shape shape;
    int hub;
    int64_t column; /* where it starts in a row of its hub */
} bs_leaf;

/* For each time step and sequence a hub has `pixels` rows of `columns` numbers. With one source
 * that is a single row of all its features. Several sources stand side by side along the last
 * feature dimension, and the other dimensions count pixels.
 *
 * Hubs of internals that their layer wants side by side (bs_add_internal_to_strip) share the rows
 * of one `host`, each with columns of its own. */
typedef struct bs_hub {
    bs_scale scale;
    int backward_only, context;
    int n_sources; /* leaves side by side in a row */
    int rank;      /* feature dimensions of its sources */
    int64_t pixels, columns;
    int host;            /* the hub whose rows it stands in; for most hubs itself */
    int64_t host_column; /* where it begins there */
    int64_t row;         /* columns of all hubs of a host together; 0 for a guest */
} bs_hub;

enum {
    BS_LEAF_PARAMETERS = 0,
    BS_LEAF_GRADIENTS = 1
}; /* the root's leaves; the hubs have their numbers from hub[] */

typedef struct bs_layout {
    int n_leaves, n_hubs;
    bs_leaf *leaf; /* the root's two, then layer by layer, category by category, as declared */
    bs_hub *hub;   /* ordered by backward only, scale, first appearance in leaf[] */
    int (*first)[BS_N_CATEGORIES]; /* [layer][category]: its first leaf */
    int *partner; /* [leaf]: the leaf of what flows back (outputs, parameters, internals, inputs),
                     or -1 */
} bs_layout;

/* Everything in `arena`. BS_NETWORK: sources that no order can put side by side for all their
 * consumers. */
bs_status bs_layout_create(bs_layout *out, bs_arena *arena, const bs_wiring *wiring, bs_error *err);

/* The leaf number `index` of a category of a layer. */
static inline int bs_layout_leaf(const bs_layout *layout, int layer, bs_category category,
                                 int index)
{
    return layout->first[layer][category] + index;
}

/* The leaf that a port reads. */
static inline int bs_source_leaf(const bs_layout *layout, const bs_source *s)
{
    return bs_layout_leaf(layout, s->layer, s->category, s->index);
}

#endif
