/* check_fused.c - the rules of ops.def for fused operations, from layers to steps over time. */
#include <string.h>

#include "handlers/check.h"
#include "handlers/check_parts.h"

/* `table` is (V, N), `rows` (M, N) has one of its rows for each of the ids (M, 1). */
static bs_status check_lookup(const bs_op_info *op, const bs_value *values, const char *table,
                              const char *rows, bs_error *err)
{
    const int table_at = bs_arg_position(op, table), rows_at = bs_arg_position(op, rows);
    const bs_array *out = &values[rows_at].array;
    BS_TRY(bs_want_ndim(op, values, rows_at, 2, err));
    BS_TRY(bs_want_ndim(op, values, table_at, 2, err));
    BS_TRY(bs_want_rows_of(op, values, table_at, &values[table_at].array, out->dim[1], err));
    return bs_want_rows_of(op, values, bs_arg_position(op, "ids"), out, 1, err);
}

bs_status bs_check_embed(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_lookup(op, values, "w", "out", err);
}

bs_status bs_check_embed_add(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_lookup(op, values, "d_w", "d_out", err);
}

bs_status bs_check_linear(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int x_at = bs_arg_position(op, "x"), w_at = bs_arg_position(op, "w"),
              bias_at = bs_arg_position(op, "bias");
    const bs_array *x = &values[x_at].array, *w = &values[w_at].array,
                   *bias = &values[bias_at].array;
    BS_TRY(bs_want_ndim(op, values, x_at, 2, err));
    BS_TRY(bs_want_ndim(op, values, w_at, 2, err));
    BS_TRY(bs_want_rows_of(op, values, w_at, w, x->dim[1], err));
    if (!(bias->ndim == 2 && bias->dim[0] == 1 && bias->dim[1] == w->dim[0]))
        BS_TRY(bs_want_dims(op, values, bias_at, 1, w->dim, err));
    return bs_want_dims(op, values, bs_arg_position(op, "y"), 2,
                        (const int64_t[]){x->dim[0], w->dim[0]}, err);
}

/* `wide` arrays are (..., C), `narrow` ones (..., 1). */
static bs_status check_rows(const bs_op_info *op, const bs_value *values, const char *wide,
                            const char *wide_2, const char *narrow, const char *narrow_2,
                            bs_error *err)
{
    const int wide_at = bs_arg_position(op, wide);
    const bs_array *a = &values[wide_at].array;
    if (a->ndim < 1)
        return bs_bad_shape(op, values, wide_at, "at least one dimension", err);
    BS_TRY(bs_want_dims(op, values, bs_arg_position(op, wide_2), a->ndim, a->dim, err));
    BS_TRY(bs_want_rows_of(op, values, bs_arg_position(op, narrow), a, 1, err));
    return bs_want_rows_of(op, values, bs_arg_position(op, narrow_2), a, 1, err);
}

bs_status bs_check_softmax_ce(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_rows(op, values, "x", "p", "targets", "loss", err);
}

bs_status bs_check_softmax_ce_deriv(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_rows(op, values, "p", "dx", "targets", "dloss", err);
}

bs_status bs_check_mult_sum(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const bs_array *a = bs_arg_array(op, values, "a");
    BS_TRY(bs_want_ndim(op, values, bs_arg_position(op, "a"), 2, err));
    BS_TRY(bs_want_dims(op, values, bs_arg_position(op, "b"), 2, a->dim, err));
    return bs_want_row(op, values, bs_arg_position(op, "out"), a->dim[1], err);
}

static int ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* Every array is (B, n) like the first one; those whose names end in "ga" have blocks_a times as
 * many columns, those in "gb" blocks_b; `skipped` is left to the caller. */
static bs_status check_step(const bs_op_info *op, const bs_value *values, int blocks_a,
                            int blocks_b, int skipped, bs_error *err)
{
    const bs_array *first = &values[bs_first_array(op)].array;
    BS_TRY(bs_want_ndim(op, values, bs_first_array(op), 2, err));
    for (int arg = 0; arg < op->n_args; arg++) {
        const char *name = op->args[arg].name;
        const int blocks = ends_in(name, "ga") ? blocks_a : ends_in(name, "gb") ? blocks_b : 1;
        const int64_t dim[2] = {first->dim[0], blocks * first->dim[1]};
        if (bs_arg_is_array(&op->args[arg]) && arg != skipped)
            BS_TRY(bs_want_dims(op, values, arg, 2, dim, err));
    }
    return BS_OK;
}

bs_status bs_check_lstm(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int p = bs_arg_position(op, "p");
    BS_TRY(check_step(op, values, 4, 4, p, err));
    return bs_want_dims(op, values, p, 2, (const int64_t[]){3, values[0].array.dim[1]}, err);
}

/* The shape of an array of all steps; returns the number of dimensions. */
static int steps_shape(const char *name, int64_t T, int64_t B, int64_t n, int64_t dim[3])
{
    const int is_gates = ends_in(name, "ga") || ends_in(name, "gb");
    const int64_t rows = strcmp(name, "r") == 0        ? 4 * n
                         : strcmp(name, "p") == 0      ? 3
                         : ends_in(name, "_before")    ? B
                         : strcmp(name, "timing") == 0 ? 1
                                                       : -1;
    const int with_context = strcmp(name, "dca") == 0;
    dim[0] = rows >= 0 ? rows : T + with_context;
    dim[1] = rows >= 0 ? n : B;
    dim[2] = is_gates ? 4 * n : n;
    return rows >= 0 ? 2 : 3;
}

bs_status bs_check_lstm_steps(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int cb_at = bs_arg_position(op, "cb");
    const int64_t *size = values[cb_at].array.dim;
    BS_TRY(bs_want_ndim(op, values, cb_at, 3, err));
    if (size[0] < 1 || size[1] < 1)
        return bs_bad_shape(op, values, cb_at, "at least one step of one sequence", err);
    for (int arg = 0; arg < op->n_args; arg++) {
        int64_t dim[3];
        const int ndim = steps_shape(op->args[arg].name, size[0], size[1], size[2], dim);
        if (bs_arg_is_array(&op->args[arg]))
            BS_TRY(bs_want_dims(op, values, arg, ndim, dim, err));
    }
    return BS_OK;
}

bs_status bs_check_gru(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int b = strcmp(op->args[1].name, "b") == 0 ? 1 : -1; /* gru_forward has it */
    BS_TRY(check_step(op, values, 4, 3, b, err));
    return b < 0 ? BS_OK : bs_want_row(op, values, b, values[0].array.dim[1], err);
}
