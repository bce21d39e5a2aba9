/* sgd.c - Sgd: update = -learning_rate * g, p += update. The state vector is the last update. */
#include "training/stepper.h"

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.1, 0}, {0}};

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    bs_sgd_step(h, o->learning_rate, v->gradients, v->state, v->parameters);
}

const bs_stepper_type bs_stepper_sgd = {
    .name = "Sgd",
    .options = options,
    .n_states = 1,
    .after = after,
};
