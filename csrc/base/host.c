/* host.c - see host.h. */
#include "base/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names by which the system's loader knows the libraries. */
static const struct {
    const char *name, *variable, *file;
} libraries[] = {
    {"cuda", "BRAINSTORM_LIB_CUDA", "libcuda.so.1"},
    {"nvrtc", "BRAINSTORM_LIB_NVRTC", "libnvrtc.so"},
    {"cublas", "BRAINSTORM_LIB_CUBLAS", "libcublas.so"},
    {"cudnn", "BRAINSTORM_LIB_CUDNN", "libcudnn_graph.so.9"},
};

static bs_status find_library(const char *name, char *path, size_t size, bs_error *err)
{
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        if (strcmp(libraries[i].name, name) == 0) {
            const char *chosen = getenv(libraries[i].variable);
            snprintf(path, size, "%s", chosen && *chosen ? chosen : libraries[i].file);
            return BS_OK;
        }
    return bs_fail(err, BS_DEVICE, "there is no library '%s'", name);
}

static void *recall(const char *key, size_t *size)
{
    (void)key, (void)size;
    return NULL;
}

static void keep(const char *key, const void *data, size_t size)
{
    (void)key, (void)data, (void)size;
}

static const bs_host nobody = {find_library, recall, keep};
static const bs_host *current = &nobody;

void bs_host_set(const bs_host *host)
{
    current = host;
}

const bs_host *bs_host_get(void)
{
    return current;
}
