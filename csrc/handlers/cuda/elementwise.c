/* elementwise.c - operations of kernels/elementwise.cu: places without neighbours. */
#include "handlers/cuda/cuda.h"

/* OUTPUT: the number of the array that is written. */
#define ONE(op, OUTPUT)                                                                            \
    static void cuda_##op(bs_handler *h, bs_a_ a, bs_a_ b)                                         \
    {                                                                                              \
        bs_cuda_elementwise(h, BS_KERNEL_##op, 1u << OUTPUT, 2, (const bs_array *const[]){a, b},   \
                            0, NULL);                                                              \
    }
#define TWO(op, OUTPUT)                                                                            \
    static void cuda_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c)                                \
    {                                                                                              \
        bs_cuda_elementwise(h, BS_KERNEL_##op, 1u << OUTPUT, 3,                                    \
                            (const bs_array *const[]){a, b, c}, 0, NULL);                          \
    }
#define SCALAR(op)                                                                                 \
    static void cuda_##op(bs_handler *h, double s, bs_a_ a, bs_a_ b)                               \
    {                                                                                              \
        bs_cuda_elementwise(h, BS_KERNEL_##op, 1u << 1, 2, (const bs_array *const[]){a, b}, 1,     \
                            &s);                                                                   \
    }
#define DERIVATIVE(op)                                                                             \
    static void cuda_##op(bs_handler *h, bs_a_ x, bs_a_ y, bs_a_ dy, bs_a_ dx)                     \
    {                                                                                              \
        bs_cuda_elementwise(h, BS_KERNEL_##op, 1u << 3, 4,                                         \
                            (const bs_array *const[]){x, y, dy, dx}, 0, NULL);                     \
    }

#define OPERATIONS(ONE, TWO, SCALAR, DERIVATIVE)                                                   \
    ONE(copy_to, 1)                                                                                \
    ONE(abs_t, 1)                                                                                  \
    ONE(sign_t, 1)                                                                                 \
    ONE(sqrt_t, 1)                                                                                 \
    ONE(log_t, 1)                                                                                  \
    ONE(rel, 1)                                                                                    \
    ONE(tanh, 1)                                                                                   \
    ONE(sigmoid, 1)                                                                                \
    ONE(el, 1)                                                                                     \
    TWO(copy_to_if, 1)                                                                             \
    TWO(add_into_if, 1)                                                                            \
    TWO(add_tt, 2)                                                                                 \
    TWO(subtract_tt, 2)                                                                            \
    TWO(mult_tt, 2)                                                                                \
    TWO(mult_add_tt, 2)                                                                            \
    TWO(divide_tt, 2)                                                                              \
    TWO(modulo_tt, 2)                                                                              \
    SCALAR(add_st)                                                                                 \
    SCALAR(mult_st)                                                                                \
    SCALAR(mult_add_st)                                                                            \
    DERIVATIVE(rel_deriv)                                                                          \
    DERIVATIVE(tanh_deriv)                                                                         \
    DERIVATIVE(sigmoid_deriv)                                                                      \
    DERIVATIVE(el_deriv)

OPERATIONS(ONE, TWO, SCALAR, DERIVATIVE)

static void fill(bs_handler *h, bs_a_ mem, double val)
{
    bs_cuda_elementwise(h, BS_KERNEL_fill, 1, 1, &mem, 1, &val);
}

static void fill_if(bs_handler *h, bs_a_ mem, double val, bs_a_ cond)
{
    bs_cuda_elementwise(h, BS_KERNEL_fill_if, 1, 2, (const bs_array *const[]){mem, cond}, 1, &val);
}

static void clip_t(bs_handler *h, bs_a_ a, double a_min, double a_max, bs_a_ out)
{
    bs_cuda_elementwise(h, BS_KERNEL_clip_t, 1u << 1, 2, (const bs_array *const[]){a, out}, 2,
                        (const double[]){a_min, a_max});
}

static void dropout(bs_handler *h, double drop_prob, bs_a_ x, bs_a_ mask, bs_a_ y)
{
    const double factor = 1.0 / (1.0 - drop_prob);
    bs_generate_probability_mask(h, mask, 1.0 - drop_prob);
    bs_cuda_elementwise(h, BS_KERNEL_drop, 1u << 2, 3, (const bs_array *const[]){x, mask, y}, 1,
                        &factor);
}

void bs_cuda_fill_elementwise(bs_ops *ops)
{
#define ENTER_2(op, OUTPUT) ops->op = cuda_##op;
#define ENTER(op)           ops->op = cuda_##op;
    OPERATIONS(ENTER_2, ENTER_2, ENTER, ENTER)
    ops->fill = fill;
    ops->fill_if = fill_if;
    ops->clip_t = clip_t;
    ops->dropout = dropout;
}
