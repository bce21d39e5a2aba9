/* adagrad.c - Adagrad: s += g*g, p -= rate*g/(sqrt(s)+epsilon).
 *
 * J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
 * Optimization", JMLR 12, 2011. */
#include "training/stepper.h"

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.01, 0},
    {"epsilon", offsetof(bs_stepper_options, epsilon), 1e-8, 0},
    {0}};

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    bs_adagrad_step(h, o->learning_rate, o->epsilon, v->gradients, &v->state[0], v->parameters);
}

const bs_stepper_type bs_stepper_adagrad = {
    .name = "Adagrad",
    .options = options,
    .n_states = 1,
    .after = after,
};
