/* views.c - the engine's views as the matrices that kernels take. */
#include "handlers/cuda/cuda.h"

/* Whatever the views are: a packed array takes any lead, so one of the two always does. */
static void copy(bs_handler *h, const bs_array *from, const bs_array *to)
{
    bs_cuda_elementwise(h, BS_KERNEL_copy_to, 2, 2, (const bs_array *const[]){from, to}, 0, NULL);
}

bs_cuda_view bs_cuda_matrix(bs_handler *h, const bs_array *a, int lead)
{
    bs_cuda_view view = {.given = a};
    if (bs_has_lead(a, lead)) {
        view.matrix = bs_matrix(a, lead);
        return view;
    }
    view.copy = bs_scratch_like(h, a);
    view.matrix = bs_matrix(&view.copy, lead);
    copy(h, a, &view.copy);
    return view;
}

void bs_cuda_copy_back(bs_handler *h, const bs_cuda_view *view)
{
    if (view->copy.data)
        copy(h, &view->copy, view->given);
}

enum { MAX_OPERANDS = 4 };

/* The number of leading dimensions that makes matrices of all arrays, or of as many as can be. */
static int common_lead(int n_arrays, const bs_array *const arrays[])
{
    for (int k = 0; k < n_arrays; k++)
        if (!bs_is_packed(arrays[k]))
            return arrays[k]->lead;
    return 0;
}

void bs_cuda_elementwise(bs_handler *h, bs_cuda_kernel kernel, unsigned outputs, int n_arrays,
                         const bs_array *const arrays[], int n_numbers, const double numbers[])
{
    const bs_mark mark = bs_scratch_mark(h);
    const int lead = common_lead(n_arrays, arrays);
    bs_cuda_view view[MAX_OPERANDS];
    bs_launch l;
    if (bs_count(arrays[0]) == 0)
        return;
    for (int k = 0; k < n_arrays; k++) {
        view[k] = bs_cuda_matrix(h, arrays[k], lead);
        if (k == 0)
            l = bs_launch_over(view[k].matrix.dim[0], view[k].matrix.dim[1]);
        bs_launch_array(&l, k, &view[k].matrix);
    }
    for (int k = 0; k < n_numbers; k++)
        bs_launch_number(h, &l, k, numbers[k]);
    bs_launch_places(h, kernel, &l);
    for (int k = 0; k < n_arrays; k++)
        if (outputs & 1u << k)
            bs_cuda_copy_back(h, &view[k]);
    bs_scratch_release(h, mark);
}
