/* fallback.c - fusions in terms of required operations, for handlers that do not have them. */
#include "handlers/fallback.h"

static bs_array as_row(const bs_array *vector) /* (N,) or (1, N) -> (1, N) */
{
    bs_array row = *vector;
    if (row.ndim == 1)
        row = bs_array_packed(row.data, row.dtype, 2, (const int64_t[]){1, vector->dim[0]});
    return row;
}

void bs_fallback_linear_act(bs_handler *h, bs_a_ x, bs_a_ w, bs_a_ bias, bs_a_ y, int activation)
{
    const bs_array row = as_row(bias);
    bs_dot_mm(h, x, w, y, 0, 1);
    bs_add_mv(h, y, &row, y);
    bs_activate(h, activation, y, y);
}

void bs_fallback_conv2d_forward_act(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ bias,
                                    bs_a_ outputs, int activation, const bs_window *w)
{
    bs_conv2d_forward_batch(h, inputs, weights, bias, outputs, w);
    bs_activate(h, activation, outputs, outputs);
}

void bs_fallback_conv2d_backward_act(bs_handler *h, bs_a_ inputs, bs_a_ weights, bs_a_ outputs,
                                     bs_a_ in_deltas, bs_a_ out_deltas, bs_a_ weight_deltas,
                                     bs_a_ bias_deltas, int activation, const bs_window *w)
{
    bs_activate_deriv(h, activation, outputs, out_deltas, out_deltas);
    bs_conv2d_backward_batch(h, inputs, weights, in_deltas, out_deltas, weight_deltas, bias_deltas,
                             w);
}

void bs_fallback_maxpool2d_backward_set(bs_handler *h, bs_a_ inputs, bs_a_ outputs, bs_a_ argmax,
                                        bs_a_ in_deltas, bs_a_ out_deltas, const bs_window *w)
{
    bs_fill(h, in_deltas, 0);
    bs_maxpool2d_backward_batch(h, inputs, outputs, argmax, in_deltas, out_deltas, w);
}

static bs_array as_matrix(const bs_array *a) /* (..., C) -> (rows, C) */
{
    return bs_matrix(a, a->ndim - 1);
}

void bs_fallback_softmax_ce(bs_handler *h, bs_a_ x, bs_a_ targets, bs_a_ p, bs_a_ loss)
{
    const bs_array p_m = as_matrix(p), targets_m = as_matrix(targets), loss_m = as_matrix(loss);
    bs_softmax_m(h, x, p);
    bs_index_m_by_v(h, &p_m, &targets_m, &loss_m);
    bs_clip_t(h, loss, 1e-6, 1.0, loss);
    bs_log_t(h, loss, loss);
    bs_mult_st(h, -1.0, loss, loss);
}

void bs_fallback_softmax_ce_deriv(bs_handler *h, bs_a_ p, bs_a_ targets, bs_a_ dloss, bs_a_ dx)
{
    const bs_array dx_m = as_matrix(dx), targets_m = as_matrix(targets), dloss_m = as_matrix(dloss);
    bs_binarize_v(h, &targets_m, &dx_m);
    bs_subtract_tt(h, p, dx, dx);
    bs_mult_mv(h, &dx_m, &dloss_m, &dx_m);
}

static bs_array one_hot(bs_handler *h, const bs_array *ids, int64_t n) /* (M, n), scratch */
{
    const bs_array out = bs_scratch_array(h, 2, (const int64_t[]){ids->dim[0], n});
    bs_binarize_v(h, ids, &out);
    return out;
}

void bs_fallback_embed(bs_handler *h, bs_a_ w, bs_a_ ids, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array chosen = one_hot(h, ids, w->dim[0]);
    bs_dot_mm(h, &chosen, w, out, 0, 0);
    bs_scratch_release(h, mark);
}

void bs_fallback_embed_add(bs_handler *h, bs_a_ ids, bs_a_ d_out, bs_a_ d_w)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array chosen = one_hot(h, ids, d_w->dim[0]);
    bs_dot_add_mm(h, &chosen, d_out, d_w, 1, 0);
    bs_scratch_release(h, mark);
}

void bs_fallback_dropout(bs_handler *h, double drop_prob, bs_a_ x, bs_a_ mask, bs_a_ y)
{
    bs_generate_probability_mask(h, mask, 1.0 - drop_prob);
    bs_mult_tt(h, x, mask, y);
    bs_mult_st(h, 1.0 / (1.0 - drop_prob), y, y);
}

void bs_fallback_mult_sum_add_mm(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array product = bs_scratch_like(h, a), row = as_row(out),
                   sums = bs_scratch_like(h, &row);
    bs_mult_tt(h, a, b, &product);
    bs_sum_t(h, &product, 0, &sums);
    bs_add_tt(h, &sums, &row, &row);
    bs_scratch_release(h, mark);
}

#define FILL_REQUIRED(name)
#define FILL_OPTIONAL(name)                                                                        \
    if (!ops->name)                                                                                \
        ops->name = bs_fallback_##name;

void bs_fill_with_fallbacks(bs_ops *ops)
{
#define BS_OP(name, need, rule, signature, arguments, formula) FILL_##need(name)
#include "handlers/ops.def"
}
