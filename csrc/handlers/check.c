/* check.c - the rules of ops.def. A rule finds its arrays by the names of the arguments, so it
 * serves every row that uses it. */
#include "handlers/check.h"

#include <stdio.h>
#include <string.h>

/* ---- helpers ---- */

static int is_array(const bs_op_info *op, int arg)
{
    return op->args[arg].kind <= BS_ARG_INOUT;
}

static int is_output(const bs_op_info *op, int arg)
{
    return op->args[arg].kind == BS_ARG_OUT || op->args[arg].kind == BS_ARG_INOUT;
}

static int position(const bs_op_info *op, const char *name)
{
    int arg = 0;
    while (arg < op->n_args && strcmp(op->args[arg].name, name) != 0)
        arg++;
    BS_ASSERT(arg < op->n_args);
    return arg;
}

static const bs_value *value_of(const bs_op_info *op, const bs_value *values, const char *name)
{
    return &values[position(op, name)];
}

static const bs_array *array_of(const bs_op_info *op, const bs_value *values, const char *name)
{
    return &value_of(op, values, name)->array;
}

/* The n-th array among the arguments. */
static int nth_array(const bs_op_info *op, int n)
{
    int arg = 0;
    while (!is_array(op, arg) || n-- > 0)
        arg++;
    return arg;
}

static bs_status bad_shape(const bs_op_info *op, const bs_value *values, int arg,
                           const char *expected, bs_error *err)
{
    char got[96];
    const bs_array *a = &values[arg].array;
    bs_dims_text(got, sizeof got, a->ndim, a->dim);
    return bs_fail(err, BS_VALUE, "%s: '%s' has shape %s, expected %s", op->name,
                   op->args[arg].name, got, expected);
}

/* The argument must have exactly this shape. */
static bs_status want_dims(const bs_op_info *op, const bs_value *values, int arg, int ndim,
                           const int64_t *dim, bs_error *err)
{
    const bs_array want = bs_array_packed(NULL, BS_F32, ndim, dim);
    char expected[96];
    if (bs_same_shape(&values[arg].array, &want))
        return BS_OK;
    bs_dims_text(expected, sizeof expected, ndim, dim);
    return bad_shape(op, values, arg, expected, err);
}

static bs_status want_ndim(const bs_op_info *op, const bs_value *values, int arg, int ndim,
                           bs_error *err)
{
    char expected[32];
    if (values[arg].array.ndim == ndim)
        return BS_OK;
    snprintf(expected, sizeof expected, "%d dimensions", ndim);
    return bad_shape(op, values, arg, expected, err);
}

/* The argument must have the shape of a, but for the size of its last dimension. */
static bs_status want_rows_of(const bs_op_info *op, const bs_value *values, int arg,
                              const bs_array *a, int64_t last, bs_error *err)
{
    int64_t dim[BS_MAX_NDIM];
    memcpy(dim, a->dim, sizeof dim);
    dim[a->ndim - 1] = last;
    return want_dims(op, values, arg, a->ndim, dim, err);
}

/* ---- rules ---- */

bs_status bs_check_same(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *first = &values[nth_array(op, 0)].array;
    for (int arg = 0; arg < op->n_args; arg++)
        if (is_array(op, arg))
            BS_TRY(want_dims(op, values, arg, first->ndim, first->dim, err));
    return BS_OK;
}

bs_status bs_check_probability(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    int arg = 0;
    while (op->args[arg].kind != BS_ARG_NUMBER)
        arg++;
    if (!(values[arg].number >= 0 && values[arg].number <= 1))
        return bs_fail(err, BS_VALUE, "%s: '%s' must lie in [0, 1], got %g", op->name,
                       op->args[arg].name, values[arg].number);
    return bs_check_same(op, values, err);
}

static bs_status check_vector(const bs_op_info *op, const bs_value *values, int full, bs_error *err)
{
    const int m_at = position(op, "m"), v_at = position(op, "v"), out_at = position(op, "out");
    const bs_array *m = &values[m_at].array, *v = &values[v_at].array;
    char expected[96];
    BS_TRY(want_ndim(op, values, m_at, 2, err));
    BS_TRY(want_dims(op, values, out_at, 2, m->dim, err));
    const int64_t rows = m->dim[0], cols = m->dim[1];
    if ((v->ndim == 1 && v->dim[0] == cols) || (full && bs_same_shape(v, m)))
        return BS_OK;
    if (v->ndim == 2 &&
        ((v->dim[0] == 1 && v->dim[1] == cols) || (v->dim[0] == rows && v->dim[1] == 1)))
        return BS_OK;
    snprintf(expected, sizeof expected, "(1, %lld) or (%lld, 1)", (long long)cols, (long long)rows);
    return bad_shape(op, values, v_at, expected, err);
}

bs_status bs_check_mv(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_vector(op, values, 0, err);
}

bs_status bs_check_mv_full(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_vector(op, values, 1, err);
}

bs_status bs_check_product(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int a_at = position(op, "a"), b_at = position(op, "b");
    const bs_array *a = &values[a_at].array, *b = &values[b_at].array;
    const int ta = value_of(op, values, "transa")->integer != 0,
              tb = value_of(op, values, "transb")->integer != 0;
    BS_TRY(want_ndim(op, values, a_at, 2, err));
    BS_TRY(want_ndim(op, values, b_at, 2, err));
    const int64_t b_dim[2] = {tb ? b->dim[0] : a->dim[!ta], tb ? a->dim[!ta] : b->dim[1]};
    BS_TRY(want_dims(op, values, b_at, 2, b_dim, err));
    return want_dims(op, values, position(op, "out"), 2, (const int64_t[]){a->dim[ta], b->dim[!tb]},
                     err);
}

bs_status bs_check_sum(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *a = array_of(op, values, "a"), *out = array_of(op, values, "out");
    const int64_t axis = value_of(op, values, "axis")->integer;
    const int out_at = position(op, "out");
    if (axis == BS_ALL_AXES)
        return bs_count(out) == 1 ? BS_OK : bad_shape(op, values, out_at, "one element", err);
    if (axis < 0 || axis > 1 || axis >= a->ndim || a->ndim > 2)
        return bs_fail(
            err, BS_VALUE,
            "%s: axis %lld of an array with %d dimensions, expected None, 0 or 1 of one or two",
            op->name, (long long)axis, a->ndim);
    int64_t kept[2] = {a->dim[0], a->ndim > 1 ? a->dim[1] : 1},
            rest[1] = {a->ndim > 1 ? a->dim[1 - axis] : 1};
    kept[axis] = 1;
    if (out->ndim == a->ndim)
        return want_dims(op, values, out_at, a->ndim, kept, err);
    return want_dims(op, values, out_at, a->ndim - 1, rest, err);
}

bs_status bs_check_broadcast(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int a_at = position(op, "a"), out_at = position(op, "out");
    const bs_array *a = &values[a_at].array, *out = &values[out_at].array;
    const int64_t axis = value_of(op, values, "axis")->integer;
    int64_t dim[BS_MAX_NDIM];
    if (axis < 0 || axis >= a->ndim)
        return bs_fail(err, BS_VALUE, "%s: axis %lld of an array with %d dimensions", op->name,
                       (long long)axis, a->ndim);
    memcpy(dim, a->dim, sizeof dim);
    dim[axis] = 1;
    BS_TRY(want_dims(op, values, a_at, a->ndim, dim, err));
    BS_TRY(want_ndim(op, values, out_at, a->ndim, err));
    dim[axis] = out->dim[axis];
    return want_dims(op, values, out_at, a->ndim, dim, err);
}

/* `whole` is `first` and `second` side by side. */
static bs_status check_joined(const bs_op_info *op, const bs_value *values, const char *whole,
                              const char *first, const char *second, bs_error *err)
{
    const int first_at = position(op, first), second_at = position(op, second),
              whole_at = position(op, whole);
    const bs_array *a = &values[first_at].array, *b = &values[second_at].array;
    if (a->ndim < 1)
        return bad_shape(op, values, first_at, "at least one dimension", err);
    BS_TRY(want_ndim(op, values, second_at, a->ndim, err));
    const int64_t a_last = a->dim[a->ndim - 1], b_last = b->dim[a->ndim - 1];
    BS_TRY(want_rows_of(op, values, second_at, a, b_last, err));
    return want_rows_of(op, values, whole_at, a, a_last + b_last, err);
}

bs_status bs_check_merge(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_joined(op, values, "out", "a", "b", err);
}

bs_status bs_check_split(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_joined(op, values, "x", "out_a", "out_b", err);
}

bs_status bs_check_reverse(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int x_at = position(op, "x");
    const bs_array *x = &values[x_at].array;
    if (x->ndim < 2)
        return bad_shape(op, values, x_at, "(T, B, ...)", err);
    BS_TRY(want_dims(op, values, position(op, "y"), x->ndim, x->dim, err));
    return want_dims(op, values, position(op, "mask"), 3,
                     (const int64_t[]){x->dim[0], x->dim[1], 1}, err);
}

bs_status bs_check_binarize(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int out_at = position(op, "out");
    BS_TRY(want_ndim(op, values, out_at, 2, err));
    return want_rows_of(op, values, position(op, "v"), &values[out_at].array, 1, err);
}

bs_status bs_check_index(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int m_at = position(op, "m");
    BS_TRY(want_ndim(op, values, m_at, 2, err));
    BS_TRY(want_rows_of(op, values, position(op, "v"), &values[m_at].array, 1, err));
    return want_rows_of(op, values, position(op, "out"), &values[m_at].array, 1, err);
}

/* `table` is (V, N), `rows` (M, N) has one of its rows for each of the ids (M, 1). */
static bs_status check_lookup(const bs_op_info *op, const bs_value *values, const char *table,
                              const char *rows, bs_error *err)
{
    const int table_at = position(op, table), rows_at = position(op, rows);
    const bs_array *out = &values[rows_at].array;
    BS_TRY(want_ndim(op, values, rows_at, 2, err));
    BS_TRY(want_ndim(op, values, table_at, 2, err));
    BS_TRY(want_rows_of(op, values, table_at, &values[table_at].array, out->dim[1], err));
    return want_rows_of(op, values, position(op, "ids"), out, 1, err);
}

bs_status bs_check_embed(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_lookup(op, values, "w", "out", err);
}

bs_status bs_check_embed_add(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_lookup(op, values, "d_w", "d_out", err);
}

/* Number of places of a window of size `window` along a side of n pixels. */
static int64_t places(int64_t n, int64_t window, int64_t stride, int64_t padding)
{
    return n + 2 * padding < window ? 0 : (n + 2 * padding - window) / stride + 1;
}

/* Checks padding, stride and window, and that `out` is (N, H', W', filters). */
static bs_status check_window(const bs_op_info *op, const bs_value *values, int out_at,
                              const int64_t window[2], int64_t filters, bs_error *err)
{
    const bs_array *in = array_of(op, values, "inputs");
    const int64_t padding = value_of(op, values, "padding")->integer;
    const int64_t *stride = value_of(op, values, "stride")->pair;
    if (window[0] < 1 || window[1] < 1)
        return bs_fail(err, BS_VALUE, "%s: the window is (%lld, %lld), expected sizes above 0",
                       op->name, (long long)window[0], (long long)window[1]);
    if (stride[0] < 1 || stride[1] < 1)
        return bs_fail(err, BS_VALUE, "%s: the stride is (%lld, %lld), expected sizes above 0",
                       op->name, (long long)stride[0], (long long)stride[1]);
    if (padding < 0)
        return bs_fail(err, BS_VALUE, "%s: the padding is %lld, expected 0 or more", op->name,
                       (long long)padding);
    const int64_t dim[4] = {in->dim[0], places(in->dim[1], window[0], stride[0], padding),
                            places(in->dim[2], window[1], stride[1], padding), filters};
    return want_dims(op, values, out_at, 4, dim, err);
}

static bs_status check_conv(const bs_op_info *op, const bs_value *values, const char *out,
                            const char *bias, bs_error *err)
{
    const int in_at = position(op, "inputs"), w_at = position(op, "weights"),
              bias_at = position(op, bias);
    const bs_array *in = &values[in_at].array, *w = &values[w_at].array,
                   *b = &values[bias_at].array;
    BS_TRY(want_ndim(op, values, in_at, 4, err));
    BS_TRY(want_ndim(op, values, w_at, 4, err));
    BS_TRY(want_rows_of(op, values, w_at, w, in->dim[3], err));
    if (b->ndim != 1 && !(b->ndim == 2 && b->dim[0] == 1))
        return bad_shape(op, values, bias_at, "one dimension", err);
    if (bs_count(b) != w->dim[0])
        return want_dims(op, values, bias_at, 1, w->dim, err);
    return check_window(op, values, position(op, out), &w->dim[1], w->dim[0], err);
}

bs_status bs_check_conv_forward(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_conv(op, values, "outputs", "bias", err);
}

bs_status bs_check_conv_backward(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    BS_TRY(check_conv(op, values, "out_deltas", "bias_deltas", err));
    BS_TRY(want_dims(op, values, position(op, "in_deltas"), 4, array_of(op, values, "inputs")->dim,
                     err));
    return want_dims(op, values, position(op, "weight_deltas"), 4,
                     array_of(op, values, "weights")->dim, err);
}

bs_status bs_check_pool(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int in_at = position(op, "inputs");
    const bs_array *in = &values[in_at].array;
    BS_TRY(want_ndim(op, values, in_at, 4, err));
    for (int arg = 0; arg < op->n_args; arg++) {
        if (!is_array(op, arg))
            continue;
        if (arg == in_at || strcmp(op->args[arg].name, "in_deltas") == 0)
            BS_TRY(want_dims(op, values, arg, 4, in->dim, err));
        else
            BS_TRY(check_window(op, values, arg, value_of(op, values, "window")->pair, in->dim[3],
                                err));
    }
    return BS_OK;
}

bs_status bs_check_linear(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int x_at = position(op, "x"), w_at = position(op, "w"), bias_at = position(op, "bias");
    const bs_array *x = &values[x_at].array, *w = &values[w_at].array,
                   *bias = &values[bias_at].array;
    BS_TRY(want_ndim(op, values, x_at, 2, err));
    BS_TRY(want_ndim(op, values, w_at, 2, err));
    BS_TRY(want_rows_of(op, values, w_at, w, x->dim[1], err));
    if (!(bias->ndim == 2 && bias->dim[0] == 1 && bias->dim[1] == w->dim[0]))
        BS_TRY(want_dims(op, values, bias_at, 1, w->dim, err));
    return want_dims(op, values, position(op, "y"), 2, (const int64_t[]){x->dim[0], w->dim[0]},
                     err);
}

/* `wide` arrays are (..., C), `narrow` ones (..., 1). */
static bs_status check_rows(const bs_op_info *op, const bs_value *values, const char *wide,
                            const char *wide_2, const char *narrow, const char *narrow_2,
                            bs_error *err)
{
    const int wide_at = position(op, wide);
    const bs_array *a = &values[wide_at].array;
    if (a->ndim < 1)
        return bad_shape(op, values, wide_at, "at least one dimension", err);
    BS_TRY(want_dims(op, values, position(op, wide_2), a->ndim, a->dim, err));
    BS_TRY(want_rows_of(op, values, position(op, narrow), a, 1, err));
    return want_rows_of(op, values, position(op, narrow_2), a, 1, err);
}

bs_status bs_check_softmax_ce(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_rows(op, values, "x", "p", "targets", "loss", err);
}

bs_status bs_check_softmax_ce_deriv(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_rows(op, values, "p", "dx", "targets", "dloss", err);
}

/* The argument must be a row of n numbers, (n,) or (1, n). */
static bs_status want_row(const bs_op_info *op, const bs_value *values, int arg, int64_t n,
                          bs_error *err)
{
    const bs_array *row = &values[arg].array;
    if (row->ndim == 2 && row->dim[0] == 1 && row->dim[1] == n)
        return BS_OK;
    return want_dims(op, values, arg, 1, &n, err);
}

bs_status bs_check_mult_sum(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *a = array_of(op, values, "a");
    BS_TRY(want_ndim(op, values, position(op, "a"), 2, err));
    BS_TRY(want_dims(op, values, position(op, "b"), 2, a->dim, err));
    return want_row(op, values, position(op, "out"), a->dim[1], err);
}

/* Every array is (B, n) like the first one; those whose names end in "ga" have blocks_a times as
 * many columns, those in "gb" blocks_b; `skipped` is left to the caller. */
static bs_status check_step(const bs_op_info *op, const bs_value *values, int blocks_a,
                            int blocks_b, int skipped, bs_error *err)
{
    const bs_array *first = &values[nth_array(op, 0)].array;
    BS_TRY(want_ndim(op, values, nth_array(op, 0), 2, err));
    for (int arg = 0; arg < op->n_args; arg++) {
        const char *name = op->args[arg].name, *last = name + strlen(name) - 2;
        const int blocks = last < name               ? 1
                           : strcmp(last, "ga") == 0 ? blocks_a
                           : strcmp(last, "gb") == 0 ? blocks_b
                                                     : 1;
        const int64_t dim[2] = {first->dim[0], blocks * first->dim[1]};
        if (is_array(op, arg) && arg != skipped)
            BS_TRY(want_dims(op, values, arg, 2, dim, err));
    }
    return BS_OK;
}

bs_status bs_check_lstm(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int p = position(op, "p");
    BS_TRY(check_step(op, values, 4, 4, p, err));
    return want_dims(op, values, p, 2, (const int64_t[]){3, values[0].array.dim[1]}, err);
}

bs_status bs_check_gru(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int b = strcmp(op->args[1].name, "b") == 0 ? 1 : -1; /* gru_forward has it */
    BS_TRY(check_step(op, values, 4, 3, b, err));
    return b < 0 ? BS_OK : want_row(op, values, b, values[0].array.dim[1], err);
}

/* ---- the whole check ---- */

static int works_in_place(const bs_op_info *op)
{
    return op->check == bs_check_same || op->check == bs_check_probability ||
           op->check == bs_check_mv || op->check == bs_check_mv_full;
}

static bs_status check_overlap(const bs_op_info *op, const bs_value *values, int out, bs_error *err)
{
    for (int arg = 0; arg < op->n_args; arg++) {
        if (arg == out || !is_array(op, arg) ||
            !bs_overlaps(&values[arg].array, &values[out].array))
            continue;
        const int same = bs_is_same_view(&values[arg].array, &values[out].array);
        if (same && works_in_place(op) && !is_output(op, arg))
            continue;
        return bs_fail(err, BS_VALUE, "%s: '%s' %s '%s'", op->name, op->args[out].name,
                       same ? "may not be the same array as" : "partly overlaps",
                       op->args[arg].name);
    }
    return BS_OK;
}

bs_status bs_op_check(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    BS_TRY(op->check(op, values, err));
    for (int arg = 0; arg < op->n_args; arg++)
        if (is_output(op, arg))
            BS_TRY(check_overlap(op, values, arg, err));
    return BS_OK;
}
