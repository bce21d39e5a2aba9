/* matrix.c - operations of kernels/matrix.cu, and products, which are those of cuBLAS. */
#include "handlers/cuda/cuda.h"

/* ---- a matrix and a vector ---- */

static void matrix_and_vector(bs_handler *h, bs_cuda_kernel kernel, bs_a_ m, bs_a_ v, bs_a_ out)
{
    const bs_array mm = bs_matrix(m, 1), om = bs_matrix(out, 1);
    bs_launch l = bs_launch_over(mm.dim[0], mm.dim[1]);
    bs_launch_array(&l, 0, &mm);
    bs_launch_array(&l, 2, &om);
    l.args.array[1].at = v->data;
    if (v->ndim == 1 || (v->dim[0] == 1 && v->dim[1] == mm.dim[1])) {
        l.args.size[3] = 1;
    } else {
        const bs_array vm = bs_matrix(v, 1);
        bs_launch_array(&l, 1, &vm);
        l.args.size[2] = vm.pitch;
        l.args.size[3] = vm.dim[1] == mm.dim[1];
    }
    bs_launch_places(h, kernel, &l);
}

#define MATRIX_AND_VECTOR(op)                                                                      \
    static void op(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)                                     \
    {                                                                                              \
        matrix_and_vector(h, BS_KERNEL_##op, m, v, out);                                           \
    }
MATRIX_AND_VECTOR(add_mv)
MATRIX_AND_VECTOR(subtract_mv)
MATRIX_AND_VECTOR(mult_mv)
MATRIX_AND_VECTOR(mult_add_mv)
MATRIX_AND_VECTOR(divide_mv)

/* ---- products ---- */

void bs_cuda_multiply(bs_handler *h, const bs_array *a, const bs_array *b, const bs_array *out,
                      int transa, int transb, int add)
{
    const bs_array am = bs_matrix(a, 1), bm = bs_matrix(b, 1), om = bs_matrix(out, 1);
    const bs_cuda_work work = {.kind = BS_CUDA_PRODUCT,
                               .product = {.m = om.dim[0],
                                           .n = om.dim[1],
                                           .k = am.dim[!transa],
                                           .a = am.data,
                                           .b = bm.data,
                                           .out = om.data,
                                           .a_pitch = am.pitch,
                                           .b_pitch = bm.pitch,
                                           .out_pitch = om.pitch,
                                           .transa = transa,
                                           .transb = transb,
                                           .add = add}};
    if (bs_count(out) == 0)
        return;
    if (work.product.k > 0)
        bs_cuda_submit(h, &work);
    else if (!add)
        bs_fill(h, out, 0);
}

static void dot_mm(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out, int transa, int transb)
{
    bs_cuda_multiply(h, a, b, out, transa, transb, 0);
}

static void dot_add_mm(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out, int transa, int transb)
{
    bs_cuda_multiply(h, a, b, out, transa, transb, 1);
}

void bs_cuda_add_bias_activate(bs_handler *h, const bs_array *y, const bs_array *bias,
                               int activation)
{
    const bs_array ym = bs_matrix(y, 1);
    bs_launch l = bs_launch_over(ym.dim[0], ym.dim[1]);
    bs_launch_array(&l, 0, &ym);
    if (bias)
        l.args.array[1].at = bias->data;
    l.args.size[2] = activation;
    bs_launch_places(h, BS_KERNEL_add_bias_activate, &l);
}

static void linear_act(bs_handler *h, bs_a_ x, bs_a_ w, bs_a_ bias, bs_a_ y, int activation)
{
    bs_cuda_multiply(h, x, w, y, 0, 1, 0);
    bs_cuda_add_bias_activate(h, y, bias, activation);
}

/* ---- the last dimension ---- */

/* `a` and `b` side by side, and `whole`: some of them are set from the others. */
static void join(bs_handler *h, bs_cuda_kernel kernel, bs_a_ a, bs_a_ b, bs_a_ whole)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view view[] = {bs_cuda_matrix(h, a, a->ndim - 1),
                                 bs_cuda_matrix(h, b, b->ndim - 1),
                                 bs_cuda_matrix(h, whole, whole->ndim - 1)};
    bs_launch l = bs_launch_over(view[2].matrix.dim[0], view[2].matrix.dim[1]);
    for (int k = 0; k < 3; k++)
        bs_launch_array(&l, k, &view[k].matrix);
    l.args.size[2] = view[0].matrix.dim[1];
    bs_launch_places(h, kernel, &l);
    for (int k = 0; k < 3; k++)
        bs_cuda_copy_back(h, &view[k]);
    bs_scratch_release(h, mark);
}

static void merge_tt(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    join(h, BS_KERNEL_merge_tt, a, b, out);
}

static void split_add_tt(bs_handler *h, bs_a_ x, bs_a_ out_a, bs_a_ out_b)
{
    join(h, BS_KERNEL_split_add_tt, out_a, out_b, x);
}

/* ---- copies in another order ---- */

static void broadcast_t(bs_handler *h, bs_a_ a, int axis, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view av = bs_cuda_matrix(h, a, 0), ov = bs_cuda_matrix(h, out, 0);
    const int64_t count = bs_count(out), repeats = out->dim[axis];
    int64_t inner = 1;
    for (int i = axis + 1; i < out->ndim; i++)
        inner *= out->dim[i];
    if (count) {
        bs_launch l = bs_launch_over(count / (repeats * inner), repeats * inner);
        l.args.array[0].at = av.matrix.data;
        l.args.array[0].pitch = inner;
        l.args.array[1].at = ov.matrix.data;
        l.args.array[1].pitch = repeats * inner;
        l.args.size[2] = inner;
        bs_launch_places(h, BS_KERNEL_broadcast_t, &l);
        bs_cuda_copy_back(h, &ov);
    }
    bs_scratch_release(h, mark);
}

static void reverse_steps(bs_handler *h, bs_a_ x, bs_a_ mask, bs_a_ y)
{
    const bs_mark mark = bs_scratch_mark(h);
    const int64_t T = x->dim[0], B = x->dim[1];
    if (bs_count(x) == 0)
        return;
    const bs_array lengths = bs_scratch_array(h, 2, (const int64_t[]){1, B});
    const bs_cuda_view mv = bs_cuda_matrix(h, mask, 0), xv = bs_cuda_matrix(h, x, 2),
                       yv = bs_cuda_matrix(h, y, 2);
    bs_launch l = bs_launch_over(1, B);
    l.args.array[0].at = mv.matrix.data;
    l.args.array[0].pitch = B;
    bs_launch_array(&l, 1, &lengths);
    l.args.size[2] = T;
    l.extent = T * B;
    bs_launch_places(h, BS_KERNEL_measure_sequences, &l);
    l = bs_launch_over(xv.matrix.dim[0], xv.matrix.dim[1]);
    bs_launch_array(&l, 0, &xv.matrix);
    bs_launch_array(&l, 1, &lengths);
    bs_launch_array(&l, 2, &yv.matrix);
    l.args.size[2] = B;
    bs_launch_places(h, BS_KERNEL_reverse_steps, &l);
    bs_cuda_copy_back(h, &yv);
    bs_scratch_release(h, mark);
}

void bs_cuda_fill_matrix(bs_ops *ops)
{
    ops->add_mv = add_mv;
    ops->subtract_mv = subtract_mv;
    ops->mult_mv = mult_mv;
    ops->mult_add_mv = mult_add_mv;
    ops->divide_mv = divide_mv;
    ops->dot_mm = dot_mm;
    ops->dot_add_mm = dot_add_mm;
    ops->linear_act = linear_act;
    ops->merge_tt = merge_tt;
    ops->split_add_tt = split_add_tt;
    ops->broadcast_t = broadcast_t;
    ops->reverse_steps = reverse_steps;
}
