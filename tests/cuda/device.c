/* device.c - GPUs, their contexts and their streams, which are done with work before a call for it
 * returns. */
#include "double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRIVER_VERSION = 13000 };

struct CUctx_st {
    int references;
};
struct CUstream_st {
    CUstream next;
};

static int initialised;
enum { N_DEVICES = 2 };
static struct CUctx_st primary[N_DEVICES];
static _Thread_local CUcontext current;
static CUstream streams;

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

static int plugged = 1;

void double_plug(int number)
{
    plugged = number;
}

static int initialise(void)
{
    static const char *const names[] = {"ascending", "descending", "random"};
    const char *order = getenv("BRAINSTORM_DOUBLE_ORDER");
    int k = 0;
    if (!plugged)
        return report(NO_DEVICE, "no CUDA-capable device is detected");
    if (order && !initialised) {
        while (k < 3 && strcmp(order, names[k]) != 0)
            k++;
        if (k == 3)
            return report(INVALID_VALUE, "BRAINSTORM_DOUBLE_ORDER is '%s'", order);
        double_set_order(k);
    }
    initialised = 1;
    return 0;
}

static int chosen_capability = 90;

void double_set_capability(int value)
{
    chosen_capability = value;
}

int capability(void)
{
    return chosen_capability;
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

/* The link that leads to a stream, to NULL if it does not exist. */
static CUstream *link_to(CUstream stream)
{
    CUstream *link = &streams;
    while (*link && *link != stream)
        link = &(*link)->next;
    return link;
}

static int check_stream(CUstream stream)
{
    return stream && !*link_to(stream) ? report(INVALID_HANDLE, "this is no stream") : 0;
}

static int create_stream(CUstream *out)
{
    CUstream stream = malloc(sizeof *stream);
    stream->next = streams;
    *out = streams = stream;
    count_object(1);
    return 0;
}

static int destroy_stream(CUstream stream)
{
    CUstream *link = link_to(stream);
    if (!*link)
        return report(INVALID_HANDLE, "this is no stream");
    *link = stream->next;
    free(stream);
    count_object(-1);
    return 0;
}

static long tasks;

long double_tasks(void)
{
    return tasks;
}

int submit(CUstream stream, const task *work)
{
    const int code = check_stream(stream);
    if (code || capture_task(stream, work))
        return code;
    tasks++;
    return work->run(work);
}

static int pointer_attribute(int *out, CUpointer_attribute which, CUdeviceptr address)
{
    const int device = device_of(address);
    if (device < 0)
        return report(INVALID_VALUE, "0x%llx is in no memory of a device", address);
    switch (which) {
    case BS_CU_POINTER_KIND: return set_int(out, BS_CU_DEVICE);
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

CUresult cuStreamCreate(CUstream *out, unsigned int flags)
{
    (void)flags;
    CALL(CONTEXT, create_stream(out));
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    RELEASE(CONTEXT, destroy_stream(stream));
}

CUresult cuStreamSynchronize(CUstream stream)
{
    CALL(CONTEXT, is_capturing() ? report(CAPTURING, "waiting for a stream that captures")
                                 : check_stream(stream));
}
