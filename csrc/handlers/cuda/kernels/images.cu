/* images.cu - pooling, and the windows of a convolution, for packed images (N, H, W, C).
 *
 * sizes: rows and columns of the places as ever, then, from 2 on: H, W, C of the images, H, W of
 * what comes out of the windows, the window, the stride, the padding. Places are rows of C
 * channels, or of a whole window. */
#define H SIZE(2)
#define W SIZE(3)
#define C SIZE(4)
#define OUT_H SIZE(5)
#define OUT_W SIZE(6)
#define WINDOW_H SIZE(7)
#define WINDOW_W SIZE(8)
#define STRIDE_H SIZE(9)
#define STRIDE_W SIZE(10)
#define PADDING SIZE(11)

/* The part of a window that lies inside the image: lines [top, bottom), pixels [left, right). */
typedef struct clipped {
    index n, top, bottom, left, right;
} clipped;

/* The window of pixel `row` of what comes out. */
DEVICE clipped window_of(const bs_kernel_args *shape, index row)
{
    const bs_kernel_args args = *shape;
    const index y = row / OUT_W % OUT_H * STRIDE_H - PADDING, x = row % OUT_W * STRIDE_W - PADDING;
    clipped k;
    k.n = row / OUT_W / OUT_H;
    k.top = y > 0 ? y : 0;
    k.bottom = y + WINDOW_H < H ? y + WINDOW_H : H;
    k.left = x > 0 ? x : 0;
    k.right = x + WINDOW_W < W ? x + WINDOW_W : W;
    return k;
}

/* The first of the largest wins, the first NaN before all others. Arrays: images, out, argmax. */
AT_EACH_PLACE(maxpool2d_forward, {
    const clipped k = window_of(&args, row);
    real best = 0;
    index place = -1;
    for (index y = k.top; y < k.bottom; y++)
        for (index x = k.left; x < k.right; x++) {
            const real v = AT(0, (k.n * H + y) * W + x, col);
            if (place < 0 || (!(v <= best) && best == best)) {
                best = v;
                place = (y * W + x) * C + col;
            }
        }
    AT(1, row, col) = best;
    AT(2, row, col) = (real)place;
})

/* Reports the lowest image with an argmax that is neither -1 nor in its window. Arrays: argmax. */
AT_EACH_PLACE(check_argmax, {
    const clipped k = window_of(&args, row);
    const real argmax = AT(0, row, col);
    const index place = (index)argmax, y = place / C / W, x = place / C % W;
    const int inside = argmax >= 0 && argmax == (real)place && place % C == col && y >= k.top &&
                       y < k.bottom && x >= k.left && x < k.right;
    if (argmax != -1 && !inside)
        report(&args, k.n, argmax);
})

/* The windows that a pixel is in: lines [top, bottom) and columns [left, right) of what comes out.
 * `row` is a pixel of the images. */
DEVICE clipped windows_with(const bs_kernel_args *shape, index row)
{
    const bs_kernel_args args = *shape;
    const index y = row / W % H + PADDING, x = row % W + PADDING;
    clipped k;
    k.n = row / W / H;
    k.top = y < WINDOW_H ? 0 : (y - WINDOW_H) / STRIDE_H + 1;
    k.bottom = y / STRIDE_H + 1 < OUT_H ? y / STRIDE_H + 1 : OUT_H;
    k.left = x < WINDOW_W ? 0 : (x - WINDOW_W) / STRIDE_W + 1;
    k.right = x / STRIDE_W + 1 < OUT_W ? x / STRIDE_W + 1 : OUT_W;
    return k;
}

/* Each pixel gathers, so the order of additions is fixed. Arrays: argmax, out_deltas, in_deltas. */
AT_EACH_PLACE(maxpool2d_backward, {
    const clipped k = windows_with(&args, row);
    const index me = row % (H * W) * C + col;
    real sum = 0;
    for (index y = k.top; y < k.bottom; y++)
        for (index x = k.left; x < k.right; x++) {
            const index from = (k.n * OUT_H + y) * OUT_W + x;
            if (AT(0, from, col) == (real)me)
                sum += AT(1, from, col);
        }
    AT(2, row, col) += sum;
})

/* Arrays: images, out. */
AT_EACH_PLACE(avgpool2d_forward, {
    const clipped k = window_of(&args, row);
    real sum = 0;
    for (index y = k.top; y < k.bottom; y++)
        for (index x = k.left; x < k.right; x++)
            sum += AT(0, (k.n * H + y) * W + x, col);
    if (k.bottom > k.top && k.right > k.left)
        sum /= (real)((k.bottom - k.top) * (k.right - k.left));
    AT(1, row, col) = sum;
})

/* Arrays: out_deltas, in_deltas. */
AT_EACH_PLACE(avgpool2d_backward, {
    const clipped k = windows_with(&args, row);
    real sum = 0;
    for (index y = k.top; y < k.bottom; y++)
        for (index x = k.left; x < k.right; x++) {
            const index from = (k.n * OUT_H + y) * OUT_W + x;
            const clipped w = window_of(&args, from);
            sum += AT(0, from, col) / (real)((w.bottom - w.top) * (w.right - w.left));
        }
    AT(1, row, col) += sum;
})

/* Row: a pixel of what comes out; column: (line, pixel, channel) of its window. Arrays: images,
 * windows. */
AT_EACH_PLACE(copy_windows, {
    const index n = row / OUT_W / OUT_H;
    const index y = row / OUT_W % OUT_H * STRIDE_H - PADDING + col / C / WINDOW_W;
    const index x = row % OUT_W * STRIDE_W - PADDING + col / C % WINDOW_W;
    AT(1, row, col) = y >= 0 && x >= 0 && y < H && x < W ? AT(0, (n * H + y) * W + x, col % C) : 0;
})

/* Arrays: deltas of windows, in_deltas. */
AT_EACH_PLACE(add_windows, {
    const clipped k = windows_with(&args, row);
    const index line = row / W % H + PADDING, pixel = row % W + PADDING;
    real sum = 0;
    for (index y = k.top; y < k.bottom; y++)
        for (index x = k.left; x < k.right; x++) {
            const index place = (line - y * STRIDE_H) * WINDOW_W + pixel - x * STRIDE_W;
            sum += AT(0, (k.n * OUT_H + y) * OUT_W + x, place * C + col);
        }
    AT(1, row, col) += sum;
})
