/* check.h - which arguments of an operation fit together: one function per rule named in ops.def.
 * Each returns BS_OK, or BS_VALUE with a line naming the operation, the argument, its shape and
 * what was expected. */
#ifndef BS_HANDLERS_CHECK_H
#define BS_HANDLERS_CHECK_H

#include "handlers/op_info.h"

typedef bs_status bs_check(const bs_op_info *op, const bs_value *values, bs_error *err);

bs_check bs_check_same;          /* all arrays have one shape */
bs_check bs_check_probability;   /* likewise, and its number lies in [0, 1] */
bs_check bs_check_mv;            /* m and out (M, N), v (1, N), (N,) or (M, 1) */
bs_check bs_check_mv_full;       /* or v (M, N) */
bs_check bs_check_product;       /* op(a) (M, K), op(b) (K, N), out (M, N) */
bs_check bs_check_product_step;  /* the same, and v and p (M, N) */
bs_check bs_check_sum;           /* out is a without the axis, which it may keep with size 1 */
bs_check bs_check_broadcast;     /* out is a, whose axis has size 1, with another size there */
bs_check bs_check_merge;         /* a (..., A), b (..., B), out (..., A + B) */
bs_check bs_check_split;         /* x (..., A + B), out_a (..., A), out_b (..., B) */
bs_check bs_check_reverse;       /* x and y (T, B, ...), mask (T, B, 1) */
bs_check bs_check_binarize;      /* v (M, 1), out (M, N) */
bs_check bs_check_index;         /* m (M, N), v and out (M, 1) */
bs_check bs_check_embed;         /* w (V, N), ids (M, 1), out (M, N) */
bs_check bs_check_embed_add;     /* d_w (V, N), ids (M, 1), d_out (M, N) */
bs_check bs_check_conv_forward;  /* inputs (N, H, W, C), weights (F, kh, kw, C), bias (F,), outputs
                                    (N, H', W', F) */
bs_check bs_check_conv_backward; /* and deltas of the shapes of what they belong to */
bs_check bs_check_conv_backward_act; /* likewise, outputs (N, H', W', F) */
bs_check bs_check_pool;              /* inputs, in_deltas (N, H, W, C), the others (N, H', W', C) */
bs_check bs_check_linear;            /* x (M, K), w (N, K), bias (N,) or (1, N), y (M, N) */
bs_check bs_check_softmax_ce;        /* x and p (..., C), targets and loss (..., 1) */
bs_check bs_check_softmax_ce_deriv;  /* p and dx (..., C), targets and dloss (..., 1) */
bs_check bs_check_mult_sum;          /* a and b (M, N), out (N,) or (1, N) */
bs_check bs_check_lstm;              /* see ops.def: (B, n), gates (B, 4n), p (3, n) */
bs_check bs_check_lstm_steps;        /* (T, B, n), gates (T, B, 4n), r (4n, n); see ops.def */
bs_check bs_check_gru; /* see ops.def: (B, n), ga (B, 4n), gb (B, 3n), b (n,) or (1, n) */

#endif
