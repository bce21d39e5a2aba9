/* matrix.cu - a matrix and a vector, side by side and apart, in other orders.
 *
 * Arrays of the first kernels: m, v, out. size[2] and size[3] are what lies between two rows and
 * two columns of v: one of them is 0 where v is a vector. */
#define M      AT(0, row, col)
#define V      ((real *)args.array[1].at)[row * SIZE(2) + col * SIZE(3)]
#define RESULT AT(2, row, col)

AT_EACH_PLACE(add_mv, RESULT = M + V)
AT_EACH_PLACE(subtract_mv, RESULT = M - V)
AT_EACH_PLACE(mult_mv, RESULT = M *V)
AT_EACH_PLACE(mult_add_mv, RESULT += M * V)
AT_EACH_PLACE(divide_mv, RESULT = M / V)

/* y = act(y + bias): arrays y, bias (a row or no memory); size[2]: the activation */
AT_EACH_PLACE(add_bias_activate, {
    const real bias = args.array[1].at ? AT(1, 0, col) : 0;
    AT(0, row, col) = activate((int)SIZE(2), AT(0, row, col) + bias);
})

/* Arrays a, b, whole; size[2]: columns of a. */
AT_EACH_PLACE(merge_tt, {
    const index left = SIZE(2);
    AT(2, row, col) = col < left ? AT(0, row, col) : AT(1, row, col - left);
})

AT_EACH_PLACE(split_add_tt, {
    const index left = SIZE(2);
    if (col < left)
        AT(0, row, col) += AT(2, row, col);
    else
        AT(1, row, col - left) += AT(2, row, col);
})

/* out (outer, repeats, inner) = a (outer, inner), packed; sizes: outer, repeats * inner, inner */
AT_EACH_PLACE(broadcast_t, AT(1, row, col) = AT(0, row, col % SIZE(2)))

/* length[b] = the number of the last step with a mask that is not 0, counted from 1; arrays: mask
 * (T, B), length (1, B); sizes: 1, B, T */
AT_EACH_PLACE(measure_sequences, {
    index n = SIZE(2);
    while (n > 0 && AT(0, n - 1, col) == 0)
        n--;
    AT(1, 0, col) = (real)n;
})

/* Rows are (t, b). Arrays: x, length, y; size[2]: B. */
AT_EACH_PLACE(reverse_steps, {
    const index B = SIZE(2), t = row / B, b = row % B, n = (index)AT(1, 0, b);
    AT(2, row, col) = AT(0, (t < n ? n - 1 - t : t) * B + b, col);
})
