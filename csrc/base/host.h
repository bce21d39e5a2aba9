/* host.h - what the engine asks of the program it lives in, when it opens a GPU: where libraries
 * are, and to keep compiled kernels. Without a host, libraries are those that the system's loader
 * finds, and nothing is kept. */
#ifndef BS_BASE_HOST_H
#define BS_BASE_HOST_H

#include <stddef.h>

#include "base/status.h"

typedef struct bs_host {
    /* Writes the path of the library called `name` ("cuda", "nvrtc", "cublas", "cudnn"). BS_DEVICE:
     * where it was looked for and how to install it. The engine does without "cudnn". */
    bs_status (*find_library)(const char *name, char *path, size_t size, bs_error *err);
    /* What was kept under a key (any text), or NULL. Owned by the caller: bs_free. */
    void *(*recall)(const char *key, size_t *size);
    /* Keeps a copy. It may fail, silently. */
    void (*keep)(const char *key, const void *data, size_t size);
} bs_host;

/* Borrowed for good; call it before the first device is opened. */
void bs_host_set(const bs_host *host);
const bs_host *bs_host_get(void);

#endif
