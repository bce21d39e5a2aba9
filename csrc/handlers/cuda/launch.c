/* launch.c - putting kernels on the stream. */
#include "handlers/cuda/cuda.h"

enum {
    BLOCK = 256,                                        /* threads */
    MAX_BLOCKS = 1 << 14,                               /* threads go on to further places */
    LARGEST_INT_INDEX = 0x7fffffff - BLOCK * MAX_BLOCKS /* what a loop may still step from */
};

bs_launch bs_launch_over(int64_t rows, int64_t cols)
{
    return (bs_launch){.args = {.size = {rows, cols}}, .extent = rows * cols};
}

void bs_launch_array(bs_launch *l, int k, const bs_array *matrix)
{
    const int64_t extent = bs_rows(matrix) * matrix->pitch;
    l->args.array[k].at = matrix->data;
    l->args.array[k].pitch = matrix->pitch;
    l->extent = extent > l->extent ? extent : l->extent;
}

void bs_launch_number(const bs_handler *h, bs_launch *l, int k, double value)
{
    if (h->dtype == BS_F64)
        l->args.number[k].d = value;
    else
        l->args.number[k].f = (float)value;
}

void bs_launch_blocks(bs_handler *h, bs_cuda_kernel kernel, const bs_launch *l, int64_t n,
                      int threads)
{
    bs_cuda *cuda = bs_cuda_of(h);
    bs_cuda_work work = {.kind = BS_CUDA_KERNEL,
                         .blocks = (unsigned)(n < MAX_BLOCKS ? n : MAX_BLOCKS),
                         .threads = (unsigned)threads,
                         .args = l->args};
    if (h->is_updating && bs_cuda_report_words(h)) {
        work.args.array[BS_KERNEL_REPORT].at = bs_cuda_report_words(h);
        work.args.size[BS_KERNEL_UPDATES] = 1;
    }
    if (h->error.code == BS_OK && n > 0 &&
        bs_cuda_function(cuda, kernel, l->extent > LARGEST_INT_INDEX, &work.function, &h->error) ==
            BS_OK)
        bs_cuda_submit(h, &work);
}

void bs_launch_threads(bs_handler *h, bs_cuda_kernel kernel, const bs_launch *l, int64_t n)
{
    bs_launch_blocks(h, kernel, l, (n + BLOCK - 1) / BLOCK, BLOCK);
}

void bs_launch_places(bs_handler *h, bs_cuda_kernel kernel, const bs_launch *l)
{
    bs_launch_threads(h, kernel, l, l->args.size[0] * l->args.size[1]);
}
