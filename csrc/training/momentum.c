/* momentum.c - Momentum: v = momentum*v - rate*g, p += v, with rate = learning_rate * (1 -
 * momentum) if it is to be scaled. Large parameters may be updated during the backward pass. */
#include "training/stepper.h"

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.1, 0},
    {"momentum", offsetof(bs_stepper_options, momentum), 0.0, 0},
    {"scale_learning_rate", offsetof(bs_stepper_options, scale_learning_rate), 1, 1},
    {0}};

static bs_early_update during(const bs_stepper_options *o, const bs_vectors *v)
{
    return (bs_early_update){
        .rate = bs_scaled_rate(o), .momentum = o->momentum, .velocity = v->state};
}

/* The first of the updated parameters that lie at `start` of the flat vectors or behind it; NULL if
 * there is none. */
static const bs_leaf *next_updated(const bs_network *net, int64_t start)
{
    const bs_wiring *wiring = bs_network_wiring(net);
    const bs_layout *layout = bs_network_layout(net);
    const bs_leaf *next = NULL;
    for (int l = 0; l < wiring->n; l++)
        for (int i = 0; i < wiring->layer[l].param.n; i++) {
            const bs_leaf *leaf = &layout->leaf[bs_layout_leaf(layout, l, BS_PARAMETERS, i)];
            if (bs_network_has_updated(net, l, i) && leaf->column >= start &&
                (!next || leaf->column < next->column))
                next = leaf;
        }
    return next;
}

static void update_between(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v,
                           int64_t start, int64_t end)
{
    const bs_array g = bs_slice(v->gradients, start, end - start),
                   velocity = bs_slice(v->state, start, end - start),
                   p = bs_slice(v->parameters, start, end - start);
    if (start < end)
        bs_momentum_step(h, bs_scaled_rate(o), o->momentum, &g, &velocity, &p);
}

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    int64_t start = 0;
    const bs_leaf *updated;
    while ((updated = next_updated(v->network, start))) {
        update_between(h, o, v, start, updated->column);
        start = updated->column + bs_shape_size(&updated->shape);
    }
    update_between(h, o, v, start, bs_count(v->parameters));
}

const bs_stepper_type bs_stepper_momentum = {
    .name = "Momentum",
    .options = options,
    .n_states = 1,
    .during = during,
    .after = after,
};
