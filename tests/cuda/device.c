/* device.c - one GPU, its context and its streams, which are done with work before a call for it
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
static struct CUctx_st primary;
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

static int is_plugged = 1;

void double_plug(int is_there)
{
    is_plugged = is_there;
}

static int initialise(void)
{
    static const char *const names[] = {"ascending", "descending", "random"};
    const char *order = getenv("BRAINSTORM_DOUBLE_ORDER");
    int k = 0;
    if (!is_plugged)
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
    if (device != 0)
        return report(INVALID_DEVICE, "there is no device %d", device);
    primary.references++;
    *out = &primary;
    return 0;
}

static int release(void)
{
    if (primary.references == 0)
        return report(INVALID_CONTEXT, "the context is released more often than retained");
    primary.references--;
    return 0;
}

static int make_current(CUcontext context)
{
    if (context && (context != &primary || primary.references == 0))
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
    CALL(INIT, set_int(out, 1));
}

CUresult cuDeviceGet(CUdevice *out, int number)
{
    CALL(INIT, number ? report(INVALID_DEVICE, "there is no device %d", number) : set_int(out, 0));
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

CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device)
{
    CALL(INIT, retain(out, device));
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    (void)device;
    RELEASE(INIT, release());
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
