/* momentum.c - Momentum: v = momentum*v - rate*g, p += v, with rate = learning_rate * (1 -
 * momentum) if it is to be scaled. */
#include "training/stepper.h"

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.1, 0},
    {"momentum", offsetof(bs_stepper_options, momentum), 0.0, 0},
    {"scale_learning_rate", offsetof(bs_stepper_options, scale_learning_rate), 1, 1},
    {0}};

static bs_early_update during(const bs_stepper_options *o, const bs_vectors *v)
{
    return (bs_early_update){.rate = o->learning_rate *
                                     (o->scale_learning_rate != 0 ? 1 - o->momentum : 1),
                             .momentum = o->momentum,
                             .velocity = v->state};
}

/* Elements [start, end) of the flat vectors. */
static void update(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v, int64_t start,
                   int64_t end)
{
    const bs_early_update u = during(o, v);
    const bs_array g = bs_slice(v->gradients, start, end - start),
                   velocity = bs_slice(v->state, start, end - start),
                   p = bs_slice(v->parameters, start, end - start);
    if (start < end)
        bs_momentum_step(h, u.rate, u.momentum, &g, &velocity, &p);
}

/* What lies between the parameters that have been updated. */
static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    const bs_wiring *wiring = bs_network_wiring(v->network);
    const bs_layout *layout = bs_network_layout(v->network);
    int64_t start = 0;
    for (int l = 0; l < wiring->n; l++)
        for (int i = 0; i < wiring->layer[l].param.n; i++) {
            const bs_leaf *leaf = &layout->leaf[bs_layout_leaf(layout, l, BS_PARAMETERS, i)];
            if (!bs_network_has_updated(v->network, l, i))
                continue;
            update(h, o, v, start, leaf->column);
            start = leaf->column + bs_shape_size(&leaf->shape);
        }
    update(h, o, v, start, bs_count(v->parameters));
}

const bs_stepper_type bs_stepper_momentum = {
    .name = "Momentum",
    .options = options,
    .n_states = 1,
    .during = during,
    .after = after,
};
