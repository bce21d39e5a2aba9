/* ids.cu - operations that take ids, which are numbers of the module's dtype. An id that is out of
 * range, negative or fractional is reported. size[3] is what lies between two ids. */
#define IDS BS_KERNEL_ARRAYS - 2

DEVICE index id_of(const bs_kernel_args *args, index row, index n)
{
    const real id = ((const real *)args->array[IDS].at)[row * (index)args->size[3]];
    if (id >= 0 && id < (real)n && id == (real)(index)id)
        return (index)id;
    report(args, row, id);
    return -1;
}

/* Arrays: out. */
AT_EACH_PLACE(binarize_v, AT(0, row, col) = id_of(&args, row, cols) == col ? 1 : 0)

/* Arrays: m (rows, cols), out (rows, 1). */
KERNEL(index_m_by_v)
{
    EACH (row, SIZE(0)) {
        const index id = id_of(&args, row, SIZE(1));
        if (id >= 0)
            AT(1, row, 0) = AT(0, row, id);
    }
}

/* Arrays: table (size[4], cols), out (rows, cols). */
AT_EACH_PLACE(embed, {
    const index id = id_of(&args, row, SIZE(4));
    if (id >= 0)
        AT(1, row, col) = AT(0, id, col);
})

/* A thread for each column adds all rows in their order. Arrays: table, d_out. */
KERNEL(embed_add)
{
    EACH (col, SIZE(1))
        for (index row = 0; row < SIZE(0); row++) {
            const index id = id_of(&args, row, SIZE(4));
            if (id >= 0)
                AT(0, id, col) += AT(1, row, col);
        }
}

/* Arrays: p, loss (rows, 1). */
KERNEL(cross_entropy)
{
    EACH (row, SIZE(0)) {
        const index id = id_of(&args, row, SIZE(1));
        if (id >= 0) {
            const real p = AT(0, row, id), low = REAL(1e-6), q = p < low ? low : p;
            AT(1, row, 0) = -FN(log)(q > 1 ? 1 : q);
        }
    }
}

/* Arrays: p, dloss (rows, 1), dx. */
AT_EACH_PLACE(softmax_ce_deriv, {
    const index id = id_of(&args, row, cols);
    if (id >= 0)
        AT(2, row, col) = (AT(0, row, col) - (id == col ? 1 : 0)) * AT(1, row, 0);
})
