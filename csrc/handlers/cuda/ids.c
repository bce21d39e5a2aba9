/* ids.c - operations of kernels/ids.cu. */
#include "handlers/cuda/cuda.h"

/* Ids, one for each row, for operation `op`, below n. Returns 0 after a failure. */
static int give_ids(bs_handler *h, bs_launch *l, const char *op, const bs_array *ids, int64_t n)
{
    l->args.array[BS_KERNEL_ARRAYS - 2].at = ids->data;
    l->args.size[3] = bs_rows(ids) > 1 ? ids->pitch : 1;
    if (l->extent < bs_count(ids) * l->args.size[3])
        l->extent = bs_count(ids) * l->args.size[3];
    return bs_cuda_may_report(h, l, BS_CUDA_IDS, op, n);
}

static void binarize_v(bs_handler *h, bs_a_ v, bs_a_ out)
{
    const bs_array om = bs_matrix(out, 1);
    bs_launch l = bs_launch_over(om.dim[0], om.dim[1]);
    bs_launch_array(&l, 0, &om);
    if (give_ids(h, &l, "binarize_v", v, om.dim[1]))
        bs_launch_places(h, BS_KERNEL_binarize_v, &l);
}

static void index_m_by_v(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    const bs_array mm = bs_matrix(m, 1), om = bs_matrix(out, 1);
    bs_launch l = bs_launch_over(mm.dim[0], mm.dim[1]);
    bs_launch_array(&l, 0, &mm);
    bs_launch_array(&l, 1, &om);
    if (give_ids(h, &l, "index_m_by_v", v, mm.dim[1]))
        bs_launch_threads(h, BS_KERNEL_index_m_by_v, &l, mm.dim[0]);
}

/* A launch over `rows`, one for each id, which is the number of a row of `table`. Returns 0 after a
 * failure. */
static int look_up(bs_handler *h, bs_launch *l, const char *op, bs_a_ table, bs_a_ ids, bs_a_ rows)
{
    const bs_array tm = bs_matrix(table, 1), rm = bs_matrix(rows, 1);
    *l = bs_launch_over(rm.dim[0], rm.dim[1]);
    bs_launch_array(l, 0, &tm);
    bs_launch_array(l, 1, &rm);
    l->args.size[4] = tm.dim[0];
    return give_ids(h, l, op, ids, tm.dim[0]);
}

static void embed(bs_handler *h, bs_a_ w, bs_a_ ids, bs_a_ out)
{
    bs_launch l;
    if (look_up(h, &l, "embed", w, ids, out))
        bs_launch_places(h, BS_KERNEL_embed, &l);
}

static void embed_add(bs_handler *h, bs_a_ ids, bs_a_ d_out, bs_a_ d_w)
{
    bs_launch l;
    if (look_up(h, &l, "embed_add", d_w, ids, d_out))
        bs_launch_threads(h, BS_KERNEL_embed_add, &l, l.args.size[1]);
}

/* The (rows, 1) column of an array with one number a row. */
static bs_cuda_view column(bs_handler *h, const bs_array *a)
{
    return bs_cuda_matrix(h, a, a->ndim - 1);
}

static void softmax_ce(bs_handler *h, bs_a_ x, bs_a_ targets, bs_a_ p, bs_a_ loss)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view pv = bs_cuda_matrix(h, p, p->ndim - 1), lv = column(h, loss),
                       ids = column(h, targets);
    bs_launch l = bs_launch_over(pv.matrix.dim[0], pv.matrix.dim[1]);
    bs_softmax_m(h, x, &pv.matrix);
    bs_launch_array(&l, 0, &pv.matrix);
    bs_launch_array(&l, 1, &lv.matrix);
    if (give_ids(h, &l, "softmax_ce", &ids.matrix, pv.matrix.dim[1]))
        bs_launch_threads(h, BS_KERNEL_cross_entropy, &l, pv.matrix.dim[0]);
    bs_cuda_copy_back(h, &pv);
    bs_cuda_copy_back(h, &lv);
    bs_scratch_release(h, mark);
}

static void softmax_ce_deriv(bs_handler *h, bs_a_ p, bs_a_ targets, bs_a_ dloss, bs_a_ dx)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_cuda_view pv = bs_cuda_matrix(h, p, p->ndim - 1), lv = column(h, dloss),
                       ids = column(h, targets), dv = bs_cuda_matrix(h, dx, dx->ndim - 1);
    bs_launch l = bs_launch_over(pv.matrix.dim[0], pv.matrix.dim[1]);
    bs_launch_array(&l, 0, &pv.matrix);
    bs_launch_array(&l, 1, &lv.matrix);
    bs_launch_array(&l, 2, &dv.matrix);
    if (give_ids(h, &l, "softmax_ce_deriv", &ids.matrix, pv.matrix.dim[1]))
        bs_launch_places(h, BS_KERNEL_softmax_ce_deriv, &l);
    bs_cuda_copy_back(h, &dv);
    bs_scratch_release(h, mark);
}

void bs_cuda_fill_ids(bs_ops *ops)
{
    ops->binarize_v = binarize_v;
    ops->index_m_by_v = index_m_by_v;
    ops->embed = embed;
    ops->embed_add = embed_add;
    ops->softmax_ce = softmax_ce;
    ops->softmax_ce_deriv = softmax_ce_deriv;
}
