/* kit.h - what layers are written with: checks of ports, views of their arrays, writing by a mark
 * (set, add or skip), and maths that several of them share. */
#ifndef BS_LAYERS_KIT_H
#define BS_LAYERS_KIT_H

#include "layers/layer.h"

enum { BS_NO_TRANS = 0, BS_TRANS = 1 }; /* of dot_mm */

/* ---- ports ---- */

/* For setup: BS_LAYER unless input `port` has the shape `want`; `meaning` ends the message. */
bs_status bs_want_shape(const bs_layer *layer, int port, const bs_shape *want, const char *meaning,
                        bs_error *err);

/* ---- views (2-D unless said otherwise; `a` is an array of bs_io) ---- */

bs_array bs_steps(const bs_array *a, int64_t start,
                  int64_t n);                   /* (n, B, ...): time steps start .. start+n */
bs_array bs_step(const bs_array *a, int64_t t); /* (B, F): one time step; -1 is the context slot */
bs_array bs_flat(const bs_array *a);            /* (T*B, F): every sequence and step a row */
bs_array bs_pixels(const bs_array *a);          /* (all but the last dimension, last dimension) */
bs_array bs_vector(const bs_array *a);          /* (1, N): a parameter as a row vector */
bs_array bs_images(const bs_array *a);          /* (T*B, H, W, C), 4-D */

/* ---- windows of image layers ---- */

typedef struct bs_window_options { /* the options kernel_size, stride and padding */
    int64_t kernel_size[2], stride[2], padding;
} bs_window_options;

bs_window bs_window_of(const bs_window_options *options);

/* For setup of image layers: the output of a window slid over images `in`, (H', W', channels) with
 * H' = (H + 2 padding - rows) / stride_rows + 1. BS_LAYER if nothing is left. */
bs_status bs_window_output(const bs_shape *in, const bs_window *window, int64_t channels,
                           bs_shape *out, bs_error *err);

/* For setup of layers that take ids: BS_LAYER for more than 2^24 of them, the most that float32 can
 * tell apart. */
bs_status bs_want_ids(int64_t n, const char *what, bs_error *err);

/* ---- writing: SET replaces, ADD adds, SKIP does nothing ---- */

void bs_put(bs_handler *h, bs_write write, const bs_array *a, const bs_array *out); /* out (+)= a */
void bs_put_mult(bs_handler *h, bs_write write, const bs_array *a, const bs_array *b,
                 const bs_array *out); /* a * b */
void bs_put_mult_mv(bs_handler *h, bs_write write, const bs_array *m, const bs_array *v,
                    const bs_array *out); /* m * v */
void bs_put_dot(bs_handler *h, bs_write write, const bs_array *a, int trans_a, const bs_array *b,
                int trans_b, const bs_array *out); /* op(a) op(b) */
/* The gradient a' b of a matrix of parameters, and their update if io wants one: to be called when
 * the layer has no more use for them in this pass. */
void bs_put_weight_gradient(bs_handler *h, const bs_io *io, int param, const bs_array *a,
                            const bs_array *b);
void bs_put_column_sums(bs_handler *h, bs_write write, const bs_array *a,
                        const bs_array *out); /* sum over rows */

/* out: deltas of the inputs x of a max pooling, from dy of its outputs y */
void bs_put_maxpool_backward(bs_handler *h, bs_write write, const bs_array *x, const bs_array *y,
                             const bs_array *argmax, const bs_array *dy, const bs_array *out,
                             const bs_window *window);

/* Makes `out` ready for operations that add: SET zeroes it. */
void bs_put_nothing(bs_handler *h, bs_write write, const bs_array *out);

/* ---- activations ---- */

/* dx (+)= dy * act'(y), by y alone; dx may be dy where it is set. */
void bs_put_activate_deriv(bs_handler *h, bs_write write, int activation, const bs_array *y,
                           const bs_array *dy, const bs_array *dx);

/* ---- probabilities ---- */

void bs_one_minus(bs_handler *h, const bs_array *a, const bs_array *out); /* 1 - a */

/* out = t*ln(y) + (1-t)*ln(1-y), elementwise: the log-likelihood of targets t under probabilities
 * y, of which y and 1-y are clipped to [1e-6, 1]. */
void bs_log_likelihood(bs_handler *h, const bs_array *y, const bs_array *t, const bs_array *out);

#endif
