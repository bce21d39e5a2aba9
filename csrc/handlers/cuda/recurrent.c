/* recurrent.c - operations of kernels/recurrent.cu. */
#include "handlers/cuda/cuda.h"

enum { MAX_OPERANDS = 11 };

/* The first array is (B, n); all are matrices, or views of one step that can be. */
static void run_step(bs_handler *h, bs_cuda_kernel kernel, int n_arrays,
                     const bs_array *const arrays[], int activation, int add)
{
    const bs_mark mark = bs_scratch_mark(h);
    bs_cuda_view view[MAX_OPERANDS];
    bs_launch l = bs_launch_over(arrays[0]->dim[0], arrays[0]->dim[1]);
    for (int k = 0; k < n_arrays; k++) {
        view[k] = bs_cuda_matrix(h, arrays[k], arrays[k]->ndim - 1);
        bs_launch_array(&l, k, &view[k].matrix);
    }
    l.args.size[2] = activation;
    l.args.size[3] = add;
    bs_launch_places(h, kernel, &l);
    for (int k = 0; k < n_arrays; k++)
        bs_cuda_copy_back(h, &view[k]);
    bs_scratch_release(h, mark);
}

static void lstm_forward(bs_handler *h, bs_a_ c_before, bs_a_ y_before, bs_a_ keep, bs_a_ p,
                         bs_a_ ga, bs_a_ gb, bs_a_ ca, bs_a_ cb, bs_a_ y, int activation)
{
    run_step(h, BS_KERNEL_lstm_forward, 9,
             (const bs_array *const[]){c_before, y_before, keep, p, ga, gb, ca, cb, y}, activation,
             0);
}

static void lstm_backward(bs_handler *h, bs_a_ dy, bs_a_ keep, bs_a_ p, bs_a_ c_before, bs_a_ gb,
                          bs_a_ cb, bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb, bs_a_ dc_before,
                          int activation)
{
    run_step(
        h, BS_KERNEL_lstm_backward, 11,
        (const bs_array *const[]){dy, keep, p, c_before, gb, cb, dca, dga, dgb, dcb, dc_before},
        activation, 0);
}

static void lstm_backward_add(bs_handler *h, bs_a_ dy, bs_a_ keep, bs_a_ p, bs_a_ c_before,
                              bs_a_ gb, bs_a_ cb, bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb,
                              bs_a_ dc_before, int activation)
{
    run_step(
        h, BS_KERNEL_lstm_backward, 11,
        (const bs_array *const[]){dy, keep, p, c_before, gb, cb, dca, dga, dgb, dcb, dc_before},
        activation, 1);
}

static void gru_forward(bs_handler *h, bs_a_ y_before, bs_a_ b, bs_a_ ga, bs_a_ gb, bs_a_ y,
                        int activation)
{
    run_step(h, BS_KERNEL_gru_forward, 5, (const bs_array *const[]){y_before, b, ga, gb, y},
             activation, 0);
}

static void gru_backward(bs_handler *h, bs_a_ dy, bs_a_ y_before, bs_a_ ga, bs_a_ gb, bs_a_ dga,
                         bs_a_ dgb, bs_a_ dy_before, int activation)
{
    run_step(h, BS_KERNEL_gru_backward, 7,
             (const bs_array *const[]){dy, y_before, ga, gb, dga, dgb, dy_before}, activation, 0);
}

static void gru_backward_add(bs_handler *h, bs_a_ dy, bs_a_ y_before, bs_a_ ga, bs_a_ gb, bs_a_ dga,
                             bs_a_ dgb, bs_a_ dy_before, int activation)
{
    run_step(h, BS_KERNEL_gru_backward, 7,
             (const bs_array *const[]){dy, y_before, ga, gb, dga, dgb, dy_before}, activation, 1);
}

void bs_cuda_fill_recurrent(bs_ops *ops)
{
    ops->lstm_forward = lstm_forward;
    ops->lstm_backward = lstm_backward;
    ops->lstm_backward_add = lstm_backward_add;
    ops->gru_forward = gru_forward;
    ops->gru_backward = gru_backward;
    ops->gru_backward_add = gru_backward_add;
}
