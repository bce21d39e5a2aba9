/* check_images.c - the rules of ops.def for convolution and pooling: with a window, a stride and
 * padding, a side of n pixels has (n + 2 padding - window) / stride + 1 places. */
#include <string.h>

#include "handlers/check.h"
#include "handlers/check_parts.h"

/* Number of places of a window of size `window` along a side of n pixels. */
static int64_t places(int64_t n, int64_t window, int64_t stride, int64_t padding)
{
    return n + 2 * padding < window ? 0 : (n + 2 * padding - window) / stride + 1;
}

/* Checks padding, stride and window, and that `out` is (N, H', W', filters). */
static bs_status check_window(const bs_op_info *op, const bs_value *values, int out_at,
                              const int64_t window[2], int64_t filters, bs_error *err)
{
    const bs_array *in = bs_arg_array(op, values, "inputs");
    const int64_t padding = bs_arg_value(op, values, "padding")->integer;
    const int64_t *stride = bs_arg_value(op, values, "stride")->pair;
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
    return bs_want_dims(op, values, out_at, 4, dim, err);
}

static bs_status check_conv(const bs_op_info *op, const bs_value *values, const char *out,
                            const char *bias, bs_error *err)
{
    const int in_at = bs_arg_position(op, "inputs"), w_at = bs_arg_position(op, "weights"),
              bias_at = bs_arg_position(op, bias);
    const bs_array *in = &values[in_at].array, *w = &values[w_at].array,
                   *b = &values[bias_at].array;
    BS_TRY(bs_want_ndim(op, values, in_at, 4, err));
    BS_TRY(bs_want_ndim(op, values, w_at, 4, err));
    BS_TRY(bs_want_rows_of(op, values, w_at, w, in->dim[3], err));
    if (b->ndim != 1 && !(b->ndim == 2 && b->dim[0] == 1))
        return bs_bad_shape(op, values, bias_at, "one dimension", err);
    if (bs_count(b) != w->dim[0])
        return bs_want_dims(op, values, bias_at, 1, w->dim, err);
    return check_window(op, values, bs_arg_position(op, out), &w->dim[1], w->dim[0], err);
}

bs_status bs_check_conv_forward(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    return check_conv(op, values, "outputs", "bias", err);
}

bs_status bs_check_conv_backward(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    BS_TRY(check_conv(op, values, "out_deltas", "bias_deltas", err));
    BS_TRY(bs_want_dims(op, values, bs_arg_position(op, "in_deltas"), 4,
                        bs_arg_array(op, values, "inputs")->dim, err));
    return bs_want_dims(op, values, bs_arg_position(op, "weight_deltas"), 4,
                        bs_arg_array(op, values, "weights")->dim, err);
}

bs_status bs_check_conv_backward_act(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    BS_TRY(bs_check_conv_backward(op, values, err));
    return bs_want_dims(op, values, bs_arg_position(op, "outputs"), 4,
                        bs_arg_array(op, values, "out_deltas")->dim, err);
}

bs_status bs_check_pool(const bs_op_info *op, const bs_value *values, bs_error *err)
{
    const int in_at = bs_arg_position(op, "inputs");
    const bs_array *in = &values[in_at].array;
    BS_TRY(bs_want_ndim(op, values, in_at, 4, err));
    for (int arg = 0; arg < op->n_args; arg++) {
        if (!bs_arg_is_array(&op->args[arg]))
            continue;
        if (arg == in_at || strcmp(op->args[arg].name, "in_deltas") == 0)
            BS_TRY(bs_want_dims(op, values, arg, 4, in->dim, err));
        else
            BS_TRY(check_window(op, values, arg, bs_arg_value(op, values, "window")->pair,
                                in->dim[3], err));
    }
    return BS_OK;
}
