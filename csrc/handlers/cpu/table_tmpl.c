/* table_tmpl.c - the table of operations of one compilation: every REQUIRED row of ops.def, and the
 * fusions that this handler has itself. */
#include "handlers/cpu/kernels.h"

#define FILL_REQUIRED(name) ops->name = K(name);
#define FILL_OPTIONAL(name)

void K(fill_table)(bs_device *device)
{
    bs_ops *ops = &device->ops;
#define BS_OP(name, need, rule, signature, arguments, formula) FILL_##need(name)
#include "handlers/ops.def"
    ops->linear_act = K(linear_act);
    ops->conv2d_forward_act = K(conv2d_forward_act);
    ops->conv2d_backward_act = K(conv2d_backward_act);
    ops->maxpool2d_backward_set = K(maxpool2d_backward_set);
    ops->softmax_ce = K(softmax_ce);
    ops->softmax_ce_deriv = K(softmax_ce_deriv);
    ops->embed = K(embed);
    ops->embed_add = K(embed_add);
    ops->dropout = K(dropout);
    ops->mult_sum_add_mm = K(mult_sum_add_mm);
    ops->lstm_forward = K(lstm_forward);
    ops->lstm_backward = K(lstm_backward);
    ops->lstm_backward_add = K(lstm_backward_add);
    ops->lstm_forward_steps = K(lstm_forward_steps);
    ops->lstm_backward_steps = K(lstm_backward_steps);
    ops->gru_forward = K(gru_forward);
    ops->gru_backward = K(gru_backward);
    ops->gru_backward_add = K(gru_backward_add);
    ops->sgd_step = K(sgd_step);
    ops->momentum_step = K(momentum_step);
    ops->dot_momentum_step = K(dot_momentum_step);
    ops->rmsprop_step = K(rmsprop_step);
    ops->adam_step = K(adam_step);
    ops->adagrad_step = K(adagrad_step);
    ops->adadelta_step = K(adadelta_step);
    device->is_fully_finite = K(is_fully_finite);
}
