/* check_parts.c - what the rules of ops.def are written with. */
#include "handlers/check_parts.h"

#include <stdio.h>
#include <string.h>

int bs_arg_position(const bs_op_info *op, const char *name)
{
    int arg = 0;
    while (arg < op->n_args && strcmp(op->args[arg].name, name) != 0)
        arg++;
    BS_ASSERT(arg < op->n_args);
    return arg;
}

const bs_value *bs_arg_value(const bs_op_info *op, const bs_value *values, const char *name)
{
    return &values[bs_arg_position(op, name)];
}

const bs_array *bs_arg_array(const bs_op_info *op, const bs_value *values, const char *name)
{
    return &bs_arg_value(op, values, name)->array;
}

int bs_first_array(const bs_op_info *op)
{
    int arg = 0;
    while (!bs_arg_is_array(&op->args[arg]))
        arg++;
    return arg;
}

bs_status bs_bad_shape(const bs_op_info *op, const bs_value *values, int arg, const char *expected,
                       bs_error *err)
{
    char got[96];
    const bs_array *a = &values[arg].array;
    bs_dims_text(got, sizeof got, a->ndim, a->dim);
    return bs_fail(err, BS_VALUE, "%s: '%s' has shape %s, expected %s", op->name,
                   op->args[arg].name, got, expected);
}

bs_status bs_want_dims(const bs_op_info *op, const bs_value *values, int arg, int ndim,
                       const int64_t *dim, bs_error *err)
{
    const bs_array want = bs_array_packed(NULL, BS_F32, ndim, dim);
    char expected[96];
    if (bs_arg_is_left_out(&op->args[arg], &values[arg].array) ||
        bs_same_shape(&values[arg].array, &want))
        return BS_OK;
    bs_dims_text(expected, sizeof expected, ndim, dim);
    return bs_bad_shape(op, values, arg, expected, err);
}

bs_status bs_want_ndim(const bs_op_info *op, const bs_value *values, int arg, int ndim,
                       bs_error *err)
{
    char expected[32];
    if (values[arg].array.ndim == ndim)
        return BS_OK;
    snprintf(expected, sizeof expected, "%d dimensions", ndim);
    return bs_bad_shape(op, values, arg, expected, err);
}

bs_status bs_want_rows_of(const bs_op_info *op, const bs_value *values, int arg, const bs_array *a,
                          int64_t last, bs_error *err)
{
    int64_t dim[BS_MAX_NDIM];
    memcpy(dim, a->dim, sizeof dim);
    dim[a->ndim - 1] = last;
    return bs_want_dims(op, values, arg, a->ndim, dim, err);
}

bs_status bs_want_row(const bs_op_info *op, const bs_value *values, int arg, int64_t n,
                      bs_error *err)
{
    const bs_array *row = &values[arg].array;
    if (row->ndim == 2 && row->dim[0] == 1 && row->dim[1] == n)
        return BS_OK;
    return bs_want_dims(op, values, arg, 1, &n, err);
}
