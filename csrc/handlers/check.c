/* check.c - the rules of ops.def for arrays, matrices and ids, and the whole check of a call. A
 * rule finds its arrays by the names of the arguments, so it serves every row that uses it. */
#include "handlers/check.h"

#include <stdio.h>
#include <string.h>

#include "handlers/check_parts.h"

/* ---- rules ---- */

bs_status bs_check_same(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *first = &values[bs_first_array(op)].array;
    for (int arg = 0; arg < op->n_args; arg++)
        if (bs_arg_is_array(&op->args[arg]))
            BS_TRY(bs_want_dims(op, values, arg, first->ndim, first->dim, err));
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
    const int m_at = bs_arg_position(op, "m"), v_at = bs_arg_position(op, "v"),
              out_at = bs_arg_position(op, "out");
    const bs_array *m = &values[m_at].array, *v = &values[v_at].array;
    char expected[96];
    BS_TRY(bs_want_ndim(op, values, m_at, 2, err));
    BS_TRY(bs_want_dims(op, values, out_at, 2, m->dim, err));
    const int64_t rows = m->dim[0], cols = m->dim[1];
    if ((v->ndim == 1 && v->dim[0] == cols) || (full && bs_same_shape(v, m)))
        return BS_OK;
    if (v->ndim == 2 &&
        ((v->dim[0] == 1 && v->dim[1] == cols) || (v->dim[0] == rows && v->dim[1] == 1)))
        return BS_OK;
    snprintf(expected, sizeof expected, "(1, %lld) or (%lld, 1)", (long long)cols, (long long)rows);
    return bs_bad_shape(op, values, v_at, expected, err);
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
    const int a_at = bs_arg_position(op, "a"), b_at = bs_arg_position(op, "b");
    const bs_array *a = &values[a_at].array, *b = &values[b_at].array;
    const int ta = bs_arg_value(op, values, "transa")->integer != 0,
              tb = bs_arg_value(op, values, "transb")->integer != 0;
    BS_TRY(bs_want_ndim(op, values, a_at, 2, err));
    BS_TRY(bs_want_ndim(op, values, b_at, 2, err));
    const int64_t b_dim[2] = {tb ? b->dim[0] : a->dim[!ta], tb ? a->dim[!ta] : b->dim[1]};
    BS_TRY(bs_want_dims(op, values, b_at, 2, b_dim, err));
    return bs_want_dims(op, values, bs_arg_position(op, "out"), 2,
                        (const int64_t[]){a->dim[ta], b->dim[!tb]}, err);
}

bs_status bs_check_product_step(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *out = bs_arg_array(op, values, "out");
    BS_TRY(bs_check_product(op, values, err));
    BS_TRY(bs_want_dims(op, values, bs_arg_position(op, "v"), 2, out->dim, err));
    return bs_want_dims(op, values, bs_arg_position(op, "p"), 2, out->dim, err);
}

bs_status bs_check_sum(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *a = bs_arg_array(op, values, "a"), *out = bs_arg_array(op, values, "out");
    const int64_t axis = bs_arg_value(op, values, "axis")->integer;
    const int out_at = bs_arg_position(op, "out");
    if (axis == BS_ALL_AXES)
        return bs_count(out) == 1 ? BS_OK : bs_bad_shape(op, values, out_at, "one element", err);
    if (axis < 0 || axis > 1 || axis >= a->ndim || a->ndim > 2)
        return bs_fail(
            err, BS_VALUE,
            "%s: axis %lld of an array with %d dimensions, expected None, 0 or 1 of one or two",
            op->name, (long long)axis, a->ndim);
    int64_t kept[2] = {a->dim[0], a->ndim > 1 ? a->dim[1] : 1},
            rest[1] = {a->ndim > 1 ? a->dim[1 - axis] : 1};
    kept[axis] = 1;
    if (out->ndim == a->ndim)
        return bs_want_dims(op, values, out_at, a->ndim, kept, err);
    return bs_want_dims(op, values, out_at, a->ndim - 1, rest, err);
}

bs_status bs_check_broadcast(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int a_at = bs_arg_position(op, "a"), out_at = bs_arg_position(op, "out");
    const bs_array *a = &values[a_at].array, *out = &values[out_at].array;
    const int64_t axis = bs_arg_value(op, values, "axis")->integer;
    int64_t dim[BS_MAX_NDIM];
    if (axis < 0 || axis >= a->ndim)
        return bs_fail(err, BS_VALUE, "%s: axis %lld of an array with %d dimensions", op->name,
                       (long long)axis, a->ndim);
    memcpy(dim, a->dim, sizeof dim);
    dim[axis] = 1;
    BS_TRY(bs_want_dims(op, values, a_at, a->ndim, dim, err));
    BS_TRY(bs_want_ndim(op, values, out_at, a->ndim, err));
    dim[axis] = out->dim[axis];
    return bs_want_dims(op, values, out_at, a->ndim, dim, err);
}

/* `whole` is `first` and `second` side by side. */
static bs_status check_joined(const bs_op_info *op, const bs_value *values, const char *whole,
                              const char *first, const char *second, bs_error *err)
{
    const int first_at = bs_arg_position(op, first), second_at = bs_arg_position(op, second),
              whole_at = bs_arg_position(op, whole);
    const bs_array *a = &values[first_at].array, *b = &values[second_at].array;
    if (a->ndim < 1)
        return bs_bad_shape(op, values, first_at, "at least one dimension", err);
    BS_TRY(bs_want_ndim(op, values, second_at, a->ndim, err));
    const int64_t a_last = a->dim[a->ndim - 1], b_last = b->dim[a->ndim - 1];
    BS_TRY(bs_want_rows_of(op, values, second_at, a, b_last, err));
    return bs_want_rows_of(op, values, whole_at, a, a_last + b_last, err);
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
    const int x_at = bs_arg_position(op, "x");
    const bs_array *x = &values[x_at].array;
    if (x->ndim < 2)
        return bs_bad_shape(op, values, x_at, "(T, B, ...)", err);
    BS_TRY(bs_want_dims(op, values, bs_arg_position(op, "y"), x->ndim, x->dim, err));
    return bs_want_dims(op, values, bs_arg_position(op, "mask"), 3,
                        (const int64_t[]){x->dim[0], x->dim[1], 1}, err);
}

bs_status bs_check_binarize(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int out_at = bs_arg_position(op, "out");
    BS_TRY(bs_want_ndim(op, values, out_at, 2, err));
    return bs_want_rows_of(op, values, bs_arg_position(op, "v"), &values[out_at].array, 1, err);
}

bs_status bs_check_index(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int m_at = bs_arg_position(op, "m");
    BS_TRY(bs_want_ndim(op, values, m_at, 2, err));
    BS_TRY(bs_want_rows_of(op, values, bs_arg_position(op, "v"), &values[m_at].array, 1, err));
    return bs_want_rows_of(op, values, bs_arg_position(op, "out"), &values[m_at].array, 1, err);
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
        if (arg == out || !bs_arg_is_array(&op->args[arg]) ||
            !bs_overlaps(&values[arg].array, &values[out].array))
            continue;
        const int same = bs_is_same_view(&values[arg].array, &values[out].array);
        if (same && works_in_place(op) && !bs_arg_is_output(&op->args[arg]))
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
        if (bs_arg_is_output(&op->args[arg]))
            BS_TRY(check_overlap(op, values, arg, err));
    return BS_OK;
}
