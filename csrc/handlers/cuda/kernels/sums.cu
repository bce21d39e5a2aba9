/* sums.cu - sums and what is made of them, a block of threads for each row. The order of the
 * additions depends on the shape alone. */

/* The same for all lanes of a warp. */
DEVICE real warp_sum(real v)
{
    for (int mask = 16; mask > 0; mask >>= 1)
        v += FROM_LANE(v, mask);
    return v;
}

DEVICE real larger(real a, real b)
{
    return a > b ? a : b;
}

DEVICE real warp_max(real v)
{
    for (int mask = 16; mask > 0; mask >>= 1)
        v = larger(v, FROM_LANE(v, mask));
    return v;
}

/* For all threads of a block, whose number is a multiple of 32. `warps` has 32 places. */
DEVICE real block_sum(real v, real *warps)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n = blockDim.x >> 5;
    v = warp_sum(v);
    if (lane == 0)
        warps[warp] = v;
    SYNC();
    v = warp_sum(lane < n ? warps[lane] : 0);
    SYNC(); /* nobody writes warps before all have read it */
    return v;
}

DEVICE real block_max(real v, real *warps)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n = blockDim.x >> 5;
    v = warp_max(v);
    if (lane == 0)
        warps[warp] = v;
    SYNC();
    v = warp_max(lane < n ? warps[lane] : -LARGEST);
    SYNC();
    return v;
}

/* for (each column of a row that is this thread's) */
#define EACH_COL(col, n) for (index col = threadIdx.x; col < (n); col += blockDim.x)

/* Arrays: a, out (rows, 1); sizes: rows, cols. */
KERNEL(sum_rows)
{
    SHARED(real, warps, 32);
    EACH_ROW (row, SIZE(0)) {
        real sum = 0;
        EACH_COL (col, SIZE(1))
            sum += AT(0, row, col);
        sum = block_sum(sum, warps);
        if (threadIdx.x == 0)
            AT(1, row, 0) = sum;
    }
}

/* Sums over bunches of rows, of x or of x*y: block (i, part) adds the rows of a part in columns
 * 32 i .. 32 i + 31 with 8 threads for each. Arrays: x, y (or no memory), out (parts, cols); sizes:
 * rows, cols, rows of a part, parts, whether out is added to. */
KERNEL(sum_columns)
{
    enum { WIDTH = 32, HEIGHT = 8 };
    SHARED(real, part_sum, WIDTH * HEIGHT);
    const index panels = (SIZE(1) + WIDTH - 1) / WIDTH;
    const int x = threadIdx.x % WIDTH, y = threadIdx.x / WIDTH;
    EACH_ROW (task, panels * SIZE(3)) {
        const index part = task / panels, col = task % panels * WIDTH + x;
        const index begin = part * SIZE(2), end = begin + SIZE(2) < SIZE(0) ? begin + SIZE(2)
                                                                           : SIZE(0);
        real sum = 0;
        for (index row = begin + y; row < end && col < SIZE(1); row += HEIGHT)
            sum += args.array[1].at ? AT(0, row, col) * AT(1, row, col) : AT(0, row, col);
        part_sum[threadIdx.x] = sum;
        SYNC();
        if (y == 0 && col < SIZE(1)) {
            for (int k = 1; k < HEIGHT; k++)
                sum += part_sum[k * WIDTH + x];
            AT(2, part, col) = (SIZE(4) ? AT(2, part, col) : 0) + sum;
        }
        SYNC();
    }
}

DEVICE void softmax_row(const real *x, real *p, index n, real *warps)
{
    real top = -LARGEST, sum = 0;
    EACH_COL (col, n)
        top = larger(top, x[col]);
    top = block_max(top, warps);
    EACH_COL (col, n)
        sum += FN(exp)(x[col] - top);
    sum = block_sum(sum, warps);
    EACH_COL (col, n)
        p[col] = FN(exp)(x[col] - top) / sum;
}

/* Arrays: m, out. */
KERNEL(softmax_m)
{
    SHARED(real, warps, 32);
    EACH_ROW (row, SIZE(0))
        softmax_row(ROW(0, row), ROW(1, row), SIZE(1), warps);
}

/* Sets *flag unless all numbers are finite. Arrays: a, flag. */
AT_EACH_PLACE(find_not_finite, if (!(FN(fabs)(AT(0, row, col)) <= LARGEST)) *(int *)args.array[1].at = 1)

/* Reports numbers that are not finite. Arrays: a. */
AT_EACH_PLACE(expect_finite, {
    const real x = AT(0, row, col);
    if (!(FN(fabs)(x) <= LARGEST))
        report(&args, row, x);
})
