/* nesterov.c - Nesterov: v = momentum*v, p += v; passes at this look-ahead point; v -= rate*g, p -=
 * rate*g. rate = learning_rate * (1 - momentum) if it is to be scaled. I. Sutskever et al., "On the
 * importance of initialization and momentum in deep learning", ICML 2013. */
#include "training/stepper.h"

static const bs_stepper_option options[] = {
    {"learning_rate", offsetof(bs_stepper_options, learning_rate), 0.1, 0},
    {"momentum", offsetof(bs_stepper_options, momentum), 0.0, 0},
    {"scale_learning_rate", offsetof(bs_stepper_options, scale_learning_rate), 1, 1},
    {0}};

static void before(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    bs_mult_st(h, o->momentum, v->state, v->state);
    bs_add_tt(h, v->state, v->parameters, v->parameters);
}

static void after(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v)
{
    const double rate = bs_scaled_rate(o);
    bs_mult_add_st(h, -rate, v->gradients, v->state);
    bs_mult_add_st(h, -rate, v->gradients, v->parameters);
}

const bs_stepper_type bs_stepper_nesterov = {
    .name = "Nesterov",
    .options = options,
    .n_states = 1,
    .before = before,
    .after = after,
};
