/* adam.c - Adam: m = beta1*m + (1-beta1)*g, v = beta2*v + (1-beta2)*g*g,
 * p -= rate*weight_decay*p, p -= rate * (m/(1-beta1^t)) / (sqrt(v/(1-beta2^t)) + epsilon), with
 * t = 1 at the first update. The decay is decoupled from the gradient and leaves parameters without
 * gradient alone.
 *
 * D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; I. Loshchilov,
 * F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019. */
#include <math.h>

#include "training/stepper.h"

enum { M, V };

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.001, 0},
    {"beta1", offsetof(bs_stepper_options, beta1), 0.9, 0},
    {"beta2", offsetof(bs_stepper_options, beta2), 0.999, 0},
    {"epsilon", offsetof(bs_stepper_options, epsilon), 1e-8, 0},
    {"weight_decay", offsetof(bs_stepper_options, weight_decay), 0.0, 0},
    {0}};

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    const double t = (double)v->updates + 1;
    if (o->weight_decay != 0)
        bs_scale_parameters(h, v, 1 - o->learning_rate * o->weight_decay);
    bs_adam_step(h, o->learning_rate, o->beta1, o->beta2, o->epsilon, 1 - pow(o->beta1, t),
                 1 - pow(o->beta2, t), v->gradients, &v->state[M], &v->state[V], v->parameters);
}

const bs_stepper_type bs_stepper_adam = {
    .name = "Adam",
    .options = options,
    .n_states = 2,
    .after = after,
};
