/* device.c - GPUs and their contexts. */
#include "double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DRIVER_VERSION = 13000, N_DEVICES = 2 };

struct CUctx_st {
    int references;
};
static int initialised, plugged = 1, has_pools = 1, chosen_capability = 90;
static struct CUctx_st primary[N_DEVICES];
static _Thread_local CUcontext current;

int is_initialised(void)
{
    return initialised;
}

int has_context(void)
{
    return current && current->references > 0;
}

int current_device(void)
{
    return (int)(current - primary);
}

int capability(void)
{
    return chosen_capability;
}

void double_plug(int number)
{
    plugged = number;
}

void double_have_pools(int yes)
{
    has_pools = yes;
}

void double_set_capability(int value)
{
    chosen_capability = value;
}

static int initialise(void)
{
    static const char *const names[] = {"ascending", "descending", "random"};
    const char *order = getenv("BRAINSTORM_DOUBLE_ORDER");
    int k = 0;
    if (initialised && initialised != getpid())
        return report(NOT_INITIALIZED, "this process was forked after cuInit");
    if (!plugged)
        return report(NO_DEVICE, "no CUDA-capable device is detected");
    if (order && !initialised) {
        while (k < 3 && strcmp(order, names[k]) != 0)
            k++;
        if (k == 3)
            return report(INVALID_VALUE, "BRAINSTORM_DOUBLE_ORDER is '%s'", order);
        double_set_order(k);
    }
    initialised = getpid();
    return 0;
}

static int set_int(int *out, int value)
{
    *out = value;
    return 0;
}

static int name_device(char *out, int size)
{
    snprintf(out, (size_t)size, "CPU playing a GPU");
    return 0;
}

static int attribute(int *out, CUdevice_attribute which)
{
    switch (which) {
    case BS_CU_CAPABILITY_MAJOR: return set_int(out, capability() / 10);
    case BS_CU_CAPABILITY_MINOR: return set_int(out, capability() % 10);
    case BS_CU_MEMORY_POOLS: return set_int(out, has_pools);
    default: return report(INVALID_VALUE, "the double has no attribute %d", (int)which);
    }
}

static int retain(CUcontext *out, CUdevice device)
{
    if (device < 0 || device >= plugged)
        return report(INVALID_DEVICE, "there is no device %d", device);
    primary[device].references++;
    *out = &primary[device];
    return 0;
}

static int release(CUdevice device)
{
    if (primary[device].references == 0)
        return report(INVALID_CONTEXT, "the context is released more often than retained");
    run_everything();
    primary[device].references--;
    return 0;
}

static int make_current(CUcontext context)
{
    if (context && ((context != &primary[0] && context != &primary[1]) || context->references == 0))
        return report(INVALID_CONTEXT, "this is no context");
    current = context;
    return 0;
}

/* Of pinned memory of the host nobody asks for more than that it is such. */
static int pointer_attribute(int *out, CUpointer_attribute which, CUdeviceptr address)
{
    const int device = device_of(address), is_on_host = is_pinned((void *)address);
    if (device < 0 && !is_on_host)
        return report(INVALID_VALUE, "0x%llx is in no memory of a device", address);
    switch (which) {
    case BS_CU_POINTER_KIND: return set_int(out, is_on_host ? BS_CU_HOST : BS_CU_DEVICE);
    case BS_CU_POINTER_DEVICE: return set_int(out, device);
    default: return report(INVALID_VALUE, "the double has no attribute %d of pointers", (int)which);
    }
}

/* ---- the functions ---- */

CUresult cuInit(unsigned int flags)
{
    CALL(NOTHING, flags ? report(INVALID_VALUE, "flags of cuInit") : initialise());
}

CUresult cuDriverGetVersion(int *out)
{
    CALL(NOTHING, set_int(out, DRIVER_VERSION));
}

CUresult cuDeviceGetCount(int *out)
{
    CALL(INIT, set_int(out, plugged));
}

CUresult cuDeviceGet(CUdevice *out, int number)
{
    CALL(INIT, number < plugged ? set_int(out, number)
                                : report(INVALID_DEVICE, "there is no device %d", number));
}

CUresult cuDeviceGetName(char *out, int size, CUdevice device)
{
    (void)device;
    CALL(INIT, name_device(out, size));
}

CUresult cuDeviceGetAttribute(int *out, CUdevice_attribute which, CUdevice device)
{
    (void)device;
    CALL(INIT, attribute(out, which));
}

CUresult cuPointerGetAttribute(void *out, CUpointer_attribute which, CUdeviceptr address)
{
    CALL(CONTEXT, pointer_attribute(out, which, address));
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device)
{
    CALL(INIT, retain(out, device));
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    RELEASE(INIT, release(device));
}

CUresult cuCtxSetCurrent(CUcontext context)
{
    CALL(INIT, make_current(context));
}
