/* adadelta.c - Adadelta: s = decay*s + (1-decay)*g*g, u = sqrt(d+epsilon)/sqrt(s+epsilon)*g,
 * d = decay*d + (1-decay)*u*u, p -= rate*u.
 *
 * M. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701, 2012 (rate 1). */
#include "training/stepper.h"

enum { S, D };

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 1.0, 0},
    {"decay", offsetof(bs_stepper_options, decay), 0.95, 0},
    {"epsilon", offsetof(bs_stepper_options, epsilon), 1e-6, 0},
    {0}};

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    bs_adadelta_step(h, o->learning_rate, o->decay, o->epsilon, v->gradients, &v->state[S],
                     &v->state[D], v->parameters);
}

const bs_stepper_type bs_stepper_adadelta = {
    .name = "Adadelta",
    .options = options,
    .n_states = 2,
    .after = after,
};
