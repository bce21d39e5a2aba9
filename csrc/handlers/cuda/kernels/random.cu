/* random.cu - the same numbers as on the CPU: element i of a draw depends on (key, draw, i) alone,
 * by Philox4x32-10 (base/philox.h). A thread makes four elements. */
typedef struct words {
    word at[4];
} words;

DEVICE words philox(const bs_kernel_args *args, long_word block)
{
    words c;
    word k0 = (word)args->key, k1 = (word)(args->key >> 32);
    c.at[0] = (word)block, c.at[1] = (word)(block >> 32);
    c.at[2] = (word)args->draw, c.at[3] = (word)(args->draw >> 32);
    for (int round = 0; round < 10; round++) {
        const word low0 = 0xD2511F53u * c.at[0], low1 = 0xCD9E8D57u * c.at[2];
        const word high0 = HIGH_WORD(0xD2511F53u, c.at[0]), high1 = HIGH_WORD(0xCD9E8D57u, c.at[2]);
        c.at[0] = high1 ^ c.at[1] ^ k0;
        c.at[2] = high0 ^ c.at[3] ^ k1;
        c.at[1] = low1;
        c.at[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

/* Elements 4 * block .. 4 * block + 3 of array 0, in logical order. */
DEVICE void put(const bs_kernel_args *args, index block, const real value[4])
{
    const index cols = (index)args->size[1], n = (index)args->size[0] * cols;
    for (index k = 0; k < 4 && 4 * block + k < n; k++) {
        const index i = 4 * block + k;
        ((real *)args->array[0].at)[i / cols * (index)args->array[0].pitch + i % cols] = value[k];
    }
}

/* size[2]: the words below it become 1 */
KERNEL(generate_probability_mask)
{
    EACH (block, (SIZE(0) * SIZE(1) + 3) / 4) {
        const words w = philox(&args, (long_word)block);
        real value[4];
        for (int k = 0; k < 4; k++)
            value[k] = (long_word)w.at[k] < (long_word)args.size[2] ? 1 : 0;
        put(&args, block, value);
    }
}

/* ln((w + 1) / 2^32), also where the quotient is close to 1 */
DEVICE real log_of_word(word w)
{
    const real scale = REAL(2.3283064365386963e-10);
    return w < 0x80000000u ? FN(log)(((real)w + 1) * scale)
                           : FN(log1p)(-(real)(0xFFFFFFFFu - w) * scale);
}

/* Box and Muller; numbers: mean and standard deviation */
KERNEL(fill_gaussian)
{
    EACH (block, (SIZE(0) * SIZE(1) + 3) / 4) {
        const words w = philox(&args, (long_word)block);
        real value[4];
        for (int k = 0; k < 4; k += 2) {
            const real r = FN(sqrt)(-2 * log_of_word(w.at[k]));
            const real half_turns = (real)w.at[k + 1] * REAL(4.656612873077393e-10);
            value[k] = NUMBER(0) + NUMBER(1) * (r * FN(cospi)(half_turns));
            value[k + 1] = NUMBER(0) + NUMBER(1) * (r * FN(sinpi)(half_turns));
        }
        put(&args, block, value);
    }
}
