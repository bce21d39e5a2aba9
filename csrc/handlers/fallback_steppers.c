/* fallback_steppers.c - updates of parameters in terms of required operations. */
#include "handlers/fallback.h"

void bs_fallback_sgd_step(bs_handler *h, double rate, bs_a_ g, bs_a_ update, bs_a_ p)
{
    bs_mult_st(h, -rate, g, update);
    bs_add_tt(h, p, update, p);
}

void bs_fallback_momentum_step(bs_handler *h, double rate, double momentum, bs_a_ g, bs_a_ v,
                               bs_a_ p)
{
    bs_mult_st(h, momentum, v, v);
    bs_mult_add_st(h, -rate, g, v);
    bs_add_tt(h, p, v, p);
}

void bs_fallback_dot_momentum_step(bs_handler *h, double rate, double momentum, bs_a_ a, bs_a_ b,
                                   bs_a_ out, bs_a_ v, bs_a_ p, int transa, int transb)
{
    bs_dot_mm(h, a, b, out, transa, transb);
    bs_momentum_step(h, rate, momentum, out, v, p);
}

/* average = decay*average + (1 - decay)*x*y; part is scratch of the same shape */
static void average(bs_handler *h, double decay, bs_a_ x, bs_a_ y, bs_a_ of, bs_a_ part)
{
    bs_mult_tt(h, x, y, part);
    bs_mult_st(h, decay, of, of);
    bs_mult_add_st(h, 1 - decay, part, of);
}

/* out = x / (sqrt(square * scale) + epsilon) */
static void over_root(bs_handler *h, bs_a_ x, bs_a_ square, double scale, double epsilon, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array root = bs_scratch_like(h, x);
    bs_mult_st(h, scale, square, &root);
    bs_sqrt_t(h, &root, &root);
    bs_add_st(h, epsilon, &root, &root);
    bs_divide_tt(h, x, &root, out);
    bs_scratch_release(h, mark);
}

void bs_fallback_rmsprop_step(bs_handler *h, double rate, double decay, double epsilon,
                              double momentum, bs_a_ g, bs_a_ s, bs_a_ v, bs_a_ p)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, g);
    average(h, decay, g, g, s, &part);
    over_root(h, g, s, 1, epsilon, &part);
    bs_mult_st(h, momentum, v, v);
    bs_mult_add_st(h, -rate, &part, v);
    bs_add_tt(h, p, v, p);
    bs_scratch_release(h, mark);
}

void bs_fallback_adam_step(bs_handler *h, double rate, double beta1, double beta2, double epsilon,
                           double bias1, double bias2, bs_a_ g, bs_a_ m, bs_a_ v, bs_a_ p)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, g);
    bs_mult_st(h, beta1, m, m);
    bs_mult_add_st(h, 1 - beta1, g, m);
    average(h, beta2, g, g, v, &part);
    over_root(h, m, v, 1 / bias2, epsilon, &part);
    bs_mult_add_st(h, -rate / bias1, &part, p);
    bs_scratch_release(h, mark);
}

void bs_fallback_adagrad_step(bs_handler *h, double rate, double epsilon, bs_a_ g, bs_a_ s, bs_a_ p)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, g);
    bs_mult_add_tt(h, g, g, s);
    over_root(h, g, s, 1, epsilon, &part);
    bs_mult_add_st(h, -rate, &part, p);
    bs_scratch_release(h, mark);
}

void bs_fallback_adadelta_step(bs_handler *h, double rate, double decay, double epsilon, bs_a_ g,
                               bs_a_ s, bs_a_ d, bs_a_ p)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array update = bs_scratch_like(h, g), part = bs_scratch_like(h, g);
    average(h, decay, g, g, s, &part);
    bs_add_st(h, epsilon, d, &update);
    bs_sqrt_t(h, &update, &update);
    bs_add_st(h, epsilon, s, &part);
    bs_sqrt_t(h, &part, &part);
    bs_divide_tt(h, &update, &part, &update);
    bs_mult_tt(h, &update, g, &update);
    average(h, decay, &update, &update, d, &part);
    bs_mult_add_st(h, -rate, &update, p);
    bs_scratch_release(h, mark);
}
