/* sums.c - operations of kernels/sums.cu. How sums are cut into parts depends on the shape alone,
 * so they are the same in every run. */
#include "handlers/cuda/cuda.h"

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* A whole number of warps for a row of `cols` numbers. */
static int threads_for(int64_t cols)
{
    return cols >= 256 ? 256 : cols > 32 ? (int)div_up(cols, 32) * 32 : 32;
}

/* out (rows, 1) = the sums of the rows of a matrix */
static void sum_rows(bs_handler *h, const bs_array *matrix, const bs_array *out)
{
    bs_launch l = bs_launch_over(matrix->dim[0], matrix->dim[1]);
    bs_launch_array(&l, 0, matrix);
    bs_launch_array(&l, 1, out);
    bs_launch_blocks(h, BS_KERNEL_sum_rows, &l, matrix->dim[0], threads_for(matrix->dim[1]));
}

static bs_array packed_matrix(const bs_handler *h, void *data, int64_t rows, int64_t cols)
{
    const bs_array packed = bs_array_packed(data, h->dtype, 2, (const int64_t[]){rows, cols});
    return bs_with_lead(&packed, 1);
}

/* The sum of n numbers that follow each other: first those of rows of ROW, then what comes of it.
 */
static void total(bs_handler *h, void *data, int64_t n, void *out)
{
    enum { ROW = 2048 };
    const bs_mark mark = bs_scratch_mark(h);
    const int64_t rows = n / ROW, rest = n % ROW;
    if (rows <= 1) {
        const bs_array all = packed_matrix(h, data, 1, n), to = packed_matrix(h, out, 1, 1);
        sum_rows(h, &all, &to);
        return;
    }
    const size_t size = bs_dtype_size(h->dtype);
    char *parts = bs_scratch_take(h, (size_t)(rows + 1) * size);
    if (!parts)
        return;
    const bs_array all = packed_matrix(h, data, rows, ROW), to = packed_matrix(h, parts, rows, 1),
                   last = packed_matrix(h, (char *)data + (size_t)(rows * ROW) * size, 1, rest),
                   to_last = packed_matrix(h, parts + (size_t)rows * size, 1, 1);
    sum_rows(h, &all, &to);
    if (rest)
        sum_rows(h, &last, &to_last);
    total(h, parts, rows + (rest > 0), out);
    bs_scratch_release(h, mark);
}

/* One pass of sum_columns. */
static void sum_parts(bs_handler *h, const bs_array *x, const bs_array *y, const bs_array *out,
                      int64_t step, int add)
{
    enum { WIDTH = 32, THREADS = 256 };
    const int64_t parts = x->dim[0] ? div_up(x->dim[0], step) : 1;
    bs_launch l = bs_launch_over(x->dim[0], x->dim[1]);
    bs_launch_array(&l, 0, x);
    if (y)
        bs_launch_array(&l, 1, y);
    bs_launch_array(&l, 2, out);
    l.args.size[2] = step;
    l.args.size[3] = parts;
    l.args.size[4] = add;
    bs_launch_blocks(h, BS_KERNEL_sum_columns, &l, div_up(x->dim[1], WIDTH) * parts, THREADS);
}

void bs_cuda_sum_columns(bs_handler *h, const bs_array *x, const bs_array *y, const bs_array *out,
                         int add)
{
    enum { STEP = 256, MAX_PARTS = 128 };
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array xm = bs_matrix(x, 1), to = packed_matrix(h, out->data, 1, xm.dim[1]);
    bs_array ym;
    if (y)
        ym = bs_matrix(y, 1);
    const int64_t step = xm.dim[0] <= STEP * MAX_PARTS ? STEP : div_up(xm.dim[0], MAX_PARTS);
    if (xm.dim[0] <= step) {
        sum_parts(h, &xm, y ? &ym : NULL, &to, step, add);
    } else {
        const int64_t parts = div_up(xm.dim[0], step);
        void *data = bs_scratch_take(h, (size_t)(parts * xm.dim[1]) * bs_dtype_size(h->dtype));
        const bs_array part = packed_matrix(h, data, parts, xm.dim[1]);
        sum_parts(h, &xm, y ? &ym : NULL, &part, step, 0);
        sum_parts(h, &part, NULL, &to, parts, add);
    }
    bs_scratch_release(h, mark);
}

static void sum_t(bs_handler *h, bs_a_ a, int axis, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    if (axis == BS_ALL_AXES || a->ndim < 2) {
        const bs_cuda_view view = bs_cuda_matrix(h, a, 0);
        total(h, view.matrix.data, bs_count(a), out->data);
    } else if (axis == 0) {
        bs_cuda_sum_columns(h, a, NULL, out, 0);
    } else {
        const bs_array m = bs_matrix(a, 1);
        const bs_cuda_view to = bs_cuda_matrix(h, out, out->ndim == 2 ? 1 : 0);
        const bs_array column = out->ndim == 2 ? to.matrix
                                               : packed_matrix(h, to.matrix.data, m.dim[0], 1);
        sum_rows(h, &m, &column);
        bs_cuda_copy_back(h, &to);
    }
    bs_scratch_release(h, mark);
}

static void mult_sum_add_mm(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    bs_cuda_sum_columns(h, a, b, out, 1);
}

static void softmax_m(bs_handler *h, bs_a_ m, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view mv = bs_cuda_matrix(h, m, m->ndim - 1),
                       ov = bs_cuda_matrix(h, out, out->ndim - 1);
    bs_launch l = bs_launch_over(mv.matrix.dim[0], mv.matrix.dim[1]);
    bs_launch_array(&l, 0, &mv.matrix);
    bs_launch_array(&l, 1, &ov.matrix);
    if (bs_count(m))
        bs_launch_blocks(h, BS_KERNEL_softmax_m, &l, mv.matrix.dim[0],
                         threads_for(mv.matrix.dim[1]));
    bs_cuda_copy_back(h, &ov);
    bs_scratch_release(h, mark);
}

void bs_cuda_fill_sums(bs_ops *ops)
{
    ops->sum_t = sum_t;
    ops->mult_sum_add_mm = mult_sum_add_mm;
    ops->softmax_m = softmax_m;
}
