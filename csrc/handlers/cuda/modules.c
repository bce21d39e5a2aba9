/* modules.c - kernels are compiled for the GPU that is there, a module at a time, when one of them
 * is first needed. The host may keep what the compiler has made for the next process. */
#include "handlers/cuda/cuda.h"

#include <stdio.h>
#include <string.h>

#include "base/host.h"

/* ---- the list ---- */

typedef struct module_source {
    const char *file; /* "elementwise.cu" */
    const char *text;
} module_source;

/* Modules in the order in which they occur in kernels.def; the same one stands there many times. */
#define BS_KERNEL(module, kind, name) extern const char bs_cuda_source_##module[];
#include "handlers/cuda/kernels.def"

static const struct {
    const char *name;
    module_source module;
} kernels[] = {
#define BS_KERNEL(module, kind, name) {"bs_" #name, {#module ".cu", bs_cuda_source_##module}},
#include "handlers/cuda/kernels.def"
};

/* The number of a kernel's module: how many others come before it in the list. */
static int module_of(bs_cuda_kernel kernel)
{
    int n = 0;
    for (int k = 1; k <= (int)kernel; k++)
        n += kernels[k].module.text != kernels[k - 1].module.text;
    BS_ASSERT(n < BS_CUDA_MAX_MODULES);
    return n;
}

/* ---- the architecture ---- */

/* The device itself, or what is next before it, which it gets as PTX: machine code for others of
 * its generation might be that of GPUs without a card of their own. */
bs_status bs_cuda_choose_architecture(bs_cuda *cuda, bs_error *err)
{
    int major, minor, n, known[128], best = 0;
    BS_TRY(BS_CUDA_CALL(cuda, err, cuDeviceGetAttribute, &major, BS_CU_CAPABILITY_MAJOR,
                        cuda->device));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuDeviceGetAttribute, &minor, BS_CU_CAPABILITY_MINOR,
                        cuda->device));
    BS_TRY(BS_CUDA_CALL(cuda, err, nvrtcGetNumSupportedArchs, &n));
    if (n > (int)(sizeof known / sizeof known[0]))
        return bs_fail(err, BS_DEVICE, "NVRTC knows %d architectures, too many", n);
    BS_TRY(BS_CUDA_CALL(cuda, err, nvrtcGetSupportedArchs, known));
    for (int i = 0; i < n; i++)
        if (known[i] <= 10 * major + minor && known[i] > best)
            best = known[i];
    cuda->architecture = best;
    cuda->gets_ptx = best != 10 * major + minor;
    return best
               ? BS_OK
               : bs_fail(err, BS_DEVICE,
                         "this GPU has compute capability %d.%d, for which the NVRTC here does not "
                         "compile any more; an older version does: pip install "
                         "brainstorm[pycuda12]",
                         major, minor);
}

/* ---- compiling ---- */

enum { MAX_OPTIONS = 4, OPTION_TEXT = 48 };

typedef struct options {
    int n;
    const char *at[MAX_OPTIONS];
    char architecture[OPTION_TEXT];
} options;

static void choose_options(options *o, const bs_cuda *cuda, int long_indices)
{
    *o = (options){.n = 2, .at = {o->architecture, "--std=c++17"}};
    snprintf(o->architecture, OPTION_TEXT, "--gpu-architecture=%s_%d",
             cuda->gets_ptx ? "compute" : "sm", cuda->architecture);
    if (cuda->dtype == BS_F64)
        o->at[o->n++] = "-DREAL_IS_DOUBLE";
    if (long_indices)
        o->at[o->n++] = "-DINDEX_IS_LONG";
}

/* Everything that can change what the compiler makes. Owned by the caller, NULL without memory. */
static char *cache_key(const bs_cuda *cuda, const module_source *module, const options *o)
{
    int major = 0, minor = 0;
    const size_t size = strlen(module->text) + MAX_OPTIONS * OPTION_TEXT + 64;
    char *key = bs_alloc(size);
    if (!key || cuda->driver->nvrtcVersion(&major, &minor) != 0) {
        bs_free(key);
        return NULL;
    }
    size_t used = (size_t)snprintf(key, size, "NVRTC %d.%d", major, minor);
    for (int i = 0; i < o->n; i++)
        used += (size_t)snprintf(key + used, size - used, " %s", o->at[i]);
    snprintf(key + used, size - used, "\n%s", module->text);
    return key;
}

/* The first line of what the compiler says. */
static bs_status fail_compile(const bs_cuda *cuda, nvrtcProgram program, const char *file, int code,
                              bs_error *err)
{
    size_t size = 0;
    char *log = NULL;
    if (cuda->driver->nvrtcGetProgramLogSize(program, &size) == 0 && size > 0 &&
        (log = bs_alloc(size + 1)) != NULL && cuda->driver->nvrtcGetProgramLog(program, log) == 0)
        log[strcspn(log, "\n")] = 0;
    bs_fail(err, BS_DEVICE, "NVRTC cannot compile %s (%d): %s", file, code,
            log && *log ? log : "it does not say why");
    bs_free(log);
    return BS_DEVICE;
}

/* What cuModuleLoadData takes: machine code, or PTX and the 0 behind it. */
static bs_status get_image(const bs_cuda *cuda, nvrtcProgram program, const char *file, void **out,
                           size_t *size, bs_error *err)
{
    BS_TRY(cuda->gets_ptx ? BS_CUDA_CALL(cuda, err, nvrtcGetPTXSize, program, size)
                          : BS_CUDA_CALL(cuda, err, nvrtcGetCUBINSize, program, size));
    *out = bs_alloc(*size);
    if (!*out)
        return bs_fail(err, BS_NO_MEMORY, "no memory for the kernels of %s", file);
    return cuda->gets_ptx ? BS_CUDA_CALL(cuda, err, nvrtcGetPTX, program, *out)
                          : BS_CUDA_CALL(cuda, err, nvrtcGetCUBIN, program, *out);
}

/* *out: what cuModuleLoadData takes; owned by the caller (bs_free). */
static bs_status compile(const bs_cuda *cuda, const module_source *module, const options *o,
                         void **out, size_t *size, bs_error *err)
{
    nvrtcProgram program = NULL;
    bs_status status = BS_OK;
    *out = NULL;
    BS_TRY(BS_CUDA_CALL(cuda, err, nvrtcCreateProgram, &program, module->text, module->file, 0,
                        NULL, NULL));
    const int code = cuda->driver->nvrtcCompileProgram(program, o->n, o->at);
    if (code != 0)
        BS_TRY_DONE(fail_compile(cuda, program, module->file, code, err));
    BS_TRY_DONE(get_image(cuda, program, module->file, out, size, err));
done:
    cuda->driver->nvrtcDestroyProgram(&program);
    if (status != BS_OK) {
        bs_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- loading ---- */

static bs_status load_module(bs_cuda *cuda, const module_source *module, int long_indices,
                             CUmodule *out, bs_error *err)
{
    options o;
    size_t size = 0;
    choose_options(&o, cuda, long_indices);
    char *key = cache_key(cuda, module, &o);
    void *image = key ? bs_host_get()->recall(key, &size) : NULL;
    bs_status status = BS_OK;
    if (!image || cuda->driver->cuModuleLoadData(out, image) != 0) { /* none, or a spoilt one */
        bs_free(image);
        BS_TRY_DONE(compile(cuda, module, &o, &image, &size, err));
        BS_TRY_DONE(BS_CUDA_CALL(cuda, err, cuModuleLoadData, out, image));
        if (key)
            bs_host_get()->keep(key, image, size);
    }
done:
    bs_free(image);
    bs_free(key);
    return status;
}

/* The lock is not held while a module is made, since the host may wait there for another thread,
 * which waits for the lock. So two threads may make one module; the second copy is not kept. */
static bs_status find_module(bs_cuda *cuda, bs_cuda_kernel kernel, int long_indices, CUmodule *out,
                             bs_error *err)
{
    CUmodule *kept = &cuda->module[module_of(kernel)][long_indices], made;
    pthread_mutex_lock(&cuda->lock);
    *out = *kept;
    pthread_mutex_unlock(&cuda->lock);
    if (*out)
        return BS_OK;
    BS_TRY(load_module(cuda, &kernels[kernel].module, long_indices, &made, err));
    pthread_mutex_lock(&cuda->lock);
    if (!*kept)
        *kept = made;
    *out = *kept;
    pthread_mutex_unlock(&cuda->lock);
    if (*out != made)
        cuda->driver->cuModuleUnload(made);
    return BS_OK;
}

bs_status bs_cuda_function(bs_cuda *cuda, bs_cuda_kernel kernel, int long_indices, CUfunction *out,
                           bs_error *err)
{
    CUfunction *kept = &cuda->function[kernel][long_indices];
    CUmodule module;
    pthread_mutex_lock(&cuda->lock);
    *out = *kept;
    pthread_mutex_unlock(&cuda->lock);
    if (*out)
        return BS_OK;
    BS_TRY(bs_cuda_enter(cuda, err));
    BS_TRY(find_module(cuda, kernel, long_indices, &module, err));
    BS_TRY(BS_CUDA_CALL(cuda, err, cuModuleGetFunction, out, module, kernels[kernel].name));
    pthread_mutex_lock(&cuda->lock);
    *kept = *out;
    pthread_mutex_unlock(&cuda->lock);
    return BS_OK;
}

void bs_cuda_unload_modules(bs_cuda *cuda)
{
    for (int i = 0; i < BS_CUDA_MAX_MODULES; i++)
        for (int k = 0; k < 2; k++)
            if (cuda->module[i][k])
                cuda->driver->cuModuleUnload(cuda->module[i][k]);
}
