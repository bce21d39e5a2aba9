/* blas.c - finding and loading the BLAS.
 *
 * OpenBLAS starts its threads while it is loaded, so OPENBLAS_NUM_THREADS is 1 during that time;
 * setting it afterwards would be too late. RTLD_LOCAL keeps its symbols from everybody else. */
#include "handlers/cpu/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char thread_variable[] = "OPENBLAS_NUM_THREADS";

static pthread_once_t once = PTHREAD_ONCE_INIT, choice_once = PTHREAD_ONCE_INIT;
static bs_blas blas;
static char name[4096] = "none";
static char choice[sizeof name]; /* BRAINSTORM_BLAS */

/* ISO C knows no conversion of an object pointer to a function pointer; POSIX promises that the
 * bytes are the same. */
static void find_function(void *library, const char *symbol, void *function, size_t size)
{
    char prefixed[64];
    snprintf(prefixed, sizeof prefixed, "scipy_%s", symbol);
    void *address = dlsym(library, prefixed);
    if (!address)
        address = dlsym(library, symbol);
    memcpy(function, &address, size);
}

static void *open_single_threaded(const char *path)
{
    const char *set = getenv(thread_variable);
    char *before = set ? strdup(set) : NULL;
    setenv(thread_variable, "1", 1);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (before)
        setenv(thread_variable, before, 1);
    else
        unsetenv(thread_variable);
    free(before);
    return library;
}

static int try_library(const char *path)
{
    void *library = open_single_threaded(path);
    if (!library)
        return 0;
    find_function(library, "cblas_sgemm", &blas.sgemm, sizeof blas.sgemm);
    find_function(library, "cblas_dgemm", &blas.dgemm, sizeof blas.dgemm);
    if (!blas.sgemm || !blas.dgemm) {
        dlclose(library);
        return 0;
    }
    snprintf(name, sizeof name, "%s", path);
    return 1;
}

static void try_neighbour(void)
{
    Dl_info here;
    char path[sizeof name];
    if (!dladdr(&once, &here) || !here.dli_fname)
        return;
    const char *slash = strrchr(here.dli_fname, '/');
    const int folder = slash ? (int)(slash - here.dli_fname + 1) : 0;
    if (snprintf(path, sizeof path, "%.*slibbrainstorm_blas.so", folder, here.dli_fname) <
        (int)sizeof path)
        try_library(path);
}

static void read_choice(void)
{
    const char *set = getenv("BRAINSTORM_BLAS");
    snprintf(choice, sizeof choice, "%s", set ? set : "");
}

int bs_blas_is_named(void)
{
    pthread_once(&choice_once, read_choice);
    return *choice && strcmp(choice, "none") != 0;
}

static void load(void)
{
    static const char *const system_names[] = {"libopenblas.so.0", "libopenblas.so",
                                               "libcblas.so.3", "libblas.so.3"};
    if (!bs_blas_is_named()) {
        if (!*choice)
            try_neighbour();
    } else if (strcmp(choice, "system") == 0) {
        for (size_t i = 0; i < sizeof system_names / sizeof system_names[0]; i++)
            if (try_library(system_names[i]))
                return;
    } else {
        try_library(choice);
    }
}

const bs_blas *bs_blas_get(void)
{
    pthread_once(&once, load);
    return blas.sgemm && blas.dgemm ? &blas : NULL;
}

bs_status bs_blas_check(bs_error *err)
{
    if (!bs_blas_is_named() || bs_blas_get())
        return BS_OK;
    return bs_fail(err, BS_DEVICE,
                   "BRAINSTORM_BLAS is '%s', which cannot be loaded; expected the "
                   "path of a library, 'system' or 'none'",
                   choice);
}

const char *bs_blas_name(void)
{
    pthread_once(&once, load);
    return name;
}
