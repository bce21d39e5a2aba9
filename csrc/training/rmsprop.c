/* rmsprop.c - RmsProp: s = decay*s + (1-decay)*g*g, v = momentum*v - rate*g/(sqrt(s)+epsilon),
 * p += v.
 *
 * T. Tieleman, G. Hinton, "Lecture 6.5 - rmsprop", Neural Networks for Machine Learning, 2012. */
#include "training/stepper.h"

enum { V, S };

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.001, 0},
    {"decay", offsetof(bs_stepper_options, decay), 0.9, 0},
    {"epsilon", offsetof(bs_stepper_options, epsilon), 1e-8, 0},
    {"momentum", offsetof(bs_stepper_options, momentum), 0.0, 0},
    {0}};

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    bs_rmsprop_step(h, o->learning_rate, o->decay, o->epsilon, o->momentum, v->gradients,
                    &v->state[S], &v->state[V], v->parameters);
}

const bs_stepper_type bs_stepper_rmsprop = {
    .name = "RmsProp",
    .options = options,
    .n_states = 2,
    .after = after,
};
