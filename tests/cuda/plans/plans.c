/* plans.c - which plans cuDNN has for a GPU that is only described, by the engine's own code:
 *
 *     plans DESCRIPTION TF32 ALIGNMENT < SHAPES
 *
 * DESCRIPTION is a file of JSON, TF32 0 or 1. Each line of SHAPES has the numbers of a convolution:
 * images (4), weights (4), out (4), stride (2), padding. For each, a line comes back with the
 * workspaces of its forward pass, backward pass to the filters and to the images; -1: no plan. */
#include <stdio.h>
#include <stdlib.h>

#include "handlers/cuda/plans.h"

/* Not in driver.h, since only a test describes a GPU. */
enum { DEVICE = 38, DEVICE_DESCRIPTION = 2702, OF_CHAR = 24 };

static int fail(const char *what, int code)
{
    fprintf(stderr, "%s: %d\n", what, code);
    return 1;
}

static int describe(bs_cuda_dnn *dnn, const char *path)
{
    static char text[8192];
    FILE *file = fopen(path, "rb");
    const size_t n = file ? fread(text, 1, sizeof text, file) : 0;
    if (file)
        fclose(file);
    int code = dnn->driver->cudnnBackendCreateDescriptor(DEVICE, &dnn->device);
    if (!code)
        code = dnn->driver->cudnnBackendSetAttribute(dnn->device, DEVICE_DESCRIPTION, OF_CHAR,
                                                     (int64_t)n, text);
    if (!code)
        code = dnn->driver->cudnnBackendFinalize(dnn->device);
    return code;
}

static int read_shape(bs_cuda_convolution *what)
{
    int64_t *const number[] = {what->images, what->weights, what->out, what->stride,
                               &what->padding};
    const int n[] = {4, 4, 4, 2, 1};
    long long x;
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < n[k]; i++) {
            if (scanf("%lld", &x) != 1)
                return 0;
            number[k][i] = x;
        }
    return 1;
}

int main(int argc, char **argv)
{
    static const int kinds[] = {BS_CUDNN_FORWARD, BS_CUDNN_BACKWARD_FILTER, BS_CUDNN_BACKWARD_DATA};
    bs_cuda_dnn dnn = {0};
    bs_cuda_convolution what = {0};
    bs_error err = {0};
    if (argc != 4)
        return fail("arguments", argc);
    if (bs_cuda_driver_load(&dnn.driver, &err) != BS_OK || !dnn.driver->has_cudnn)
        return fail("no cuDNN", err.code);
    const int code = describe(&dnn, argv[1]);
    if (code)
        return fail("cuDNN takes no description of a GPU", code);
    dnn.tf32 = atoi(argv[2]);
    what.alignment = atoi(argv[3]);
    while (read_shape(&what)) {
        for (int k = 0; k < 3; k++) {
            bs_cuda_plan plan = {.what = what};
            plan.what.kind = kinds[k];
            bs_cuda_plan_make(&dnn, &plan);
            printf("%lld ", plan.execution ? (long long)plan.workspace : -1LL);
            bs_cuda_plan_close(&dnn, &plan);
        }
        printf("\n");
    }
    dnn.driver->cudnnBackendDestroyDescriptor(dnn.device);
    return 0;
}
