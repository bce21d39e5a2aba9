/* check_parts.h - what the rules of ops.def are written with: arguments found by name, and demands
 * on the shape of one of them. A demand that is not met is BS_VALUE and names the operation, the
 * argument, its shape and what was expected. `arg` is a position among the arguments. */
#ifndef BS_HANDLERS_CHECK_PARTS_H
#define BS_HANDLERS_CHECK_PARTS_H

#include "handlers/op_info.h"

/* ---- finding arguments ---- */

int bs_first_array(const bs_op_info *op);
int bs_arg_position(const bs_op_info *op, const char *name); /* asserts that there is one */
const bs_value *bs_arg_value(const bs_op_info *op, const bs_value *values, const char *name);
const bs_array *bs_arg_array(const bs_op_info *op, const bs_value *values, const char *name);

/* ---- demands ---- */

/* The error itself. */
bs_status bs_bad_shape(const bs_op_info *op, const bs_value *values, int arg, const char *expected,
                       bs_error *err);

/* Exactly this shape, unless it is left out. */
bs_status bs_want_dims(const bs_op_info *op, const bs_value *values, int arg, int ndim,
                       const int64_t *dim, bs_error *err);

bs_status bs_want_ndim(const bs_op_info *op, const bs_value *values, int arg, int ndim,
                       bs_error *err);

/* The shape of a, but for the size of its last dimension. */
bs_status bs_want_rows_of(const bs_op_info *op, const bs_value *values, int arg, const bs_array *a,
                          int64_t last, bs_error *err);

/* A row of n numbers, (n,) or (1, n). */
bs_status bs_want_row(const bs_op_info *op, const bs_value *values, int arg, int64_t n,
                      bs_error *err);

#endif
