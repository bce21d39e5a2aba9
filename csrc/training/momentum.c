/* momentum.c - Momentum: v = momentum*v - rate*g, p += v, with rate = learning_rate * (1 -
 * momentum) if it is to be scaled. */
#include "training/stepper.h"

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.1, 0},
    {"momentum", offsetof(bs_stepper_options, momentum), 0.0, 0},
    {"scale_learning_rate", offsetof(bs_stepper_options, scale_learning_rate), 1, 1},
    {0}};

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    const double rate = o->learning_rate * (o->scale_learning_rate != 0 ? 1 - o->momentum : 1);
    bs_momentum_step(h, rate, o->momentum, v->gradients, v->state, v->parameters);
}

const bs_stepper_type bs_stepper_momentum = {
    .name = "Momentum",
    .options = options,
    .n_states = 1,
    .after = after,
};
