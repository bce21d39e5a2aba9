/* driver.c - see driver.h. */
#include "handlers/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/host.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bs_cuda_driver loaded; /* complete where is_loaded */
static int is_loaded;
static pid_t process; /* that has initialised it; 0: none */

static bs_status open_library(void **out, const char *name, bs_error *err)
{
    char path[1024];
    BS_TRY(bs_host_get()->find_library(name, path, sizeof path, err));
    *out = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return *out ? BS_OK
                : bs_fail(err, BS_DEVICE, "the library %s cannot be loaded: %s", name, dlerror());
}

/* NULL if an optional library is not there. */
static void *open_optional(const char *name)
{
    char path[1024];
    const bs_status status = bs_host_get()->find_library(name, path, sizeof path, NULL);
    return status == BS_OK ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

static bs_status find_function(void **out, void *library, const char *name, bs_error *err)
{
    *out = dlsym(library, name);
    return *out ? BS_OK : bs_fail(err, BS_DEVICE, "NVIDIA's library here has no %s", name);
}

static bs_status load(bs_cuda_driver *driver, bs_error *err)
{
    void *cuda, *nvrtc, *cublas, *cudnn;
    BS_TRY(open_library(&cuda, "cuda", err));
    BS_TRY(open_library(&nvrtc, "nvrtc", err));
    BS_TRY(open_library(&cublas, "cublas", err));
    cudnn = open_optional("cudnn"); /* it needs the others */
#define BS_FIND(library, name)     find_function((void **)&driver->name, library, #name, err)
#define BS_CUDA(name, arguments)   BS_TRY(BS_FIND(cuda, name));
#define BS_NVRTC(name, arguments)  BS_TRY(BS_FIND(nvrtc, name));
#define BS_CUBLAS(name, arguments) BS_TRY(BS_FIND(cublas, name));
#define BS_CUDNN(name, arguments, result)                                                          \
    if (cudnn)                                                                                     \
        BS_TRY(BS_FIND(cudnn, name));
#include "handlers/cuda/driver.def"
    driver->has_cudnn = cudnn != NULL;
    return BS_OK;
}

/* The lock is not held while libraries are looked for: the host may wait there for another thread,
 * which waits for the lock. */
bs_status bs_cuda_driver_load(const bs_cuda_driver **out, bs_error *err)
{
    bs_cuda_driver found;
    *out = &loaded;
    pthread_mutex_lock(&lock);
    const int is_known = is_loaded;
    pthread_mutex_unlock(&lock);
    if (is_known)
        return BS_OK;
    BS_TRY(load(&found, err));
    pthread_mutex_lock(&lock);
    if (!is_loaded)
        loaded = found;
    is_loaded = 1;
    pthread_mutex_unlock(&lock);
    return BS_OK;
}

bs_status bs_cuda_driver_init(const bs_cuda_driver *driver, bs_error *err)
{
    const char *text = NULL;
    pthread_mutex_lock(&lock);
    const int is_forked = process && process != getpid(), code = is_forked ? 0 : driver->cuInit(0);
    if (code == 0 && !is_forked)
        process = getpid();
    pthread_mutex_unlock(&lock);
    if (is_forked)
        return bs_fail(err, BS_DEVICE,
                       "a GPU cannot be used in a process that was forked after CUDA had been "
                       "initialised; multiprocessing starts others by 'spawn'");
    if (code == 0)
        return BS_OK;
    driver->cuGetErrorString(code, &text);
    return bs_fail(err, BS_DEVICE, "cuInit failed: %s (%d)", text ? text : "error", code);
}
