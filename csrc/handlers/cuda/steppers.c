/* steppers.c - operations of kernels/steppers.cu: updates in one pass. */
#include "handlers/cuda/cuda.h"

static void sgd_step(bs_handler *h, double rate, bs_a_ g, bs_a_ update, bs_a_ p)
{
    bs_cuda_elementwise(h, BS_KERNEL_sgd_step, 1u << 1 | 1u << 2, 3,
                        (const bs_array *const[]){g, update, p}, 1, &rate);
}

static void momentum_step(bs_handler *h, double rate, double momentum, bs_a_ g, bs_a_ v, bs_a_ p)
{
    bs_cuda_elementwise(h, BS_KERNEL_momentum_step, 1u << 1 | 1u << 2, 3,
                        (const bs_array *const[]){g, v, p}, 2, (const double[]){rate, momentum});
}

static void rmsprop_step(bs_handler *h, double rate, double decay, double epsilon, double momentum,
                         bs_a_ g, bs_a_ s, bs_a_ v, bs_a_ p)
{
    bs_cuda_elementwise(h, BS_KERNEL_rmsprop_step, 1u << 1 | 1u << 2 | 1u << 3, 4,
                        (const bs_array *const[]){g, s, v, p}, 4,
                        (const double[]){rate, decay, epsilon, momentum});
}

static void adam_step(bs_handler *h, double rate, double beta1, double beta2, double epsilon,
                      double bias1, double bias2, bs_a_ g, bs_a_ m, bs_a_ v, bs_a_ p)
{
    bs_cuda_elementwise(h, BS_KERNEL_adam_step, 1u << 1 | 1u << 2 | 1u << 3, 4,
                        (const bs_array *const[]){g, m, v, p}, 6,
                        (const double[]){rate, beta1, beta2, epsilon, bias1, bias2});
}

static void adagrad_step(bs_handler *h, double rate, double epsilon, bs_a_ g, bs_a_ s, bs_a_ p)
{
    bs_cuda_elementwise(h, BS_KERNEL_adagrad_step, 1u << 1 | 1u << 2, 3,
                        (const bs_array *const[]){g, s, p}, 2, (const double[]){rate, epsilon});
}

static void adadelta_step(bs_handler *h, double rate, double decay, double epsilon, bs_a_ g,
                          bs_a_ s, bs_a_ d, bs_a_ p)
{
    bs_cuda_elementwise(h, BS_KERNEL_adadelta_step, 1u << 1 | 1u << 2 | 1u << 3, 4,
                        (const bs_array *const[]){g, s, d, p}, 3,
                        (const double[]){rate, decay, epsilon});
}

void bs_cuda_fill_steppers(bs_ops *ops)
{
    ops->sgd_step = sgd_step;
    ops->momentum_step = momentum_step;
    ops->rmsprop_step = rmsprop_step;
    ops->adam_step = adam_step;
    ops->adagrad_step = adagrad_step;
    ops->adadelta_step = adadelta_step;
}
