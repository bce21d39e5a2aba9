/* kernel_args.h - what every kernel takes, so that one function launches them all.
 *
 * Read by the host, by the compiler of the kernels and by the tests' double of a GPU: it includes
 * nothing. What the fields mean stands at each kernel. */
#ifndef BS_HANDLERS_CUDA_KERNEL_ARGS_H
#define BS_HANDLERS_CUDA_KERNEL_ARGS_H

enum { BS_KERNEL_ARRAYS = 12, BS_KERNEL_SIZES = 14, BS_KERNEL_NUMBERS = 6 };

/* Of the arrays the last one is where kernels report wrong data, if they do: BS_REPORT_WORDS words
 * of 64 bits. Of the sizes the last one says whether a kernel updates parameters, which it leaves
 * out after a report; the one before is the ticket of the call, below 64. */
enum {
    BS_KERNEL_REPORT = BS_KERNEL_ARRAYS - 1,
    BS_KERNEL_TICKET = BS_KERNEL_SIZES - 2,
    BS_KERNEL_UPDATES = BS_KERNEL_SIZES - 1,
    BS_REPORT_WORDS = 3,
    BS_REPORT_BITS = 26 /* of each word, for a part of the wrong number */
};

typedef struct bs_kernel_args {
    struct {
        void *at;        /* element [0, 0] of a matrix, in the memory of the device */
        long long pitch; /* elements from one row to the next */
    } array[BS_KERNEL_ARRAYS];
    long long size[BS_KERNEL_SIZES];
    union {
        float f;
        double d;
    } number[BS_KERNEL_NUMBERS];  /* in the dtype of the module */
    unsigned long long key, draw; /* of a random stream */
} bs_kernel_args;

#endif
