/* modules.c - NVRTC that compiles nothing: a module is here already, as C, in four variants. The
 * image that it hands out is a line: the architecture ("sm_90" for a cubin, "compute_90" for PTX),
 * the module and the variant. */
#include "double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- all kernels ---- */

#define BS_KERNEL(module, kind, name)                                                              \
    extern const char bs_cuda_source_##module[];                                                   \
    kernel bs_##name##_float_int, bs_##name##_float_long, bs_##name##_double_int,                  \
        bs_##name##_double_long;
#include "handlers/cuda/kernels.def"

#define VARIANT(module, kind, name, variant)                                                       \
    {                                                                                              \
#module, "bs_" #name, #variant, kind, bs_##name##_##variant, bs_cuda_source_##module       \
    }
#define BS_KERNEL(module, kind, name)                                                              \
    VARIANT(module, kind, name, float_int), VARIANT(module, kind, name, float_long),               \
        VARIANT(module, kind, name, double_int), VARIANT(module, kind, name, double_long),
static struct CUfunc_st functions[] = {
#include "handlers/cuda/kernels.def"
};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

/* The function of this name or of any; NULL if there is none. */
static CUfunction find(const char *module, const char *variant, const char *name)
{
    for (int i = 0; i < N_FUNCTIONS; i++) {
        CUfunction f = &functions[i];
        if ((!module || strcmp(f->module, module) == 0) && strcmp(f->variant, variant) == 0 &&
            (!name || strcmp(f->name, name) == 0))
            return f;
    }
    return NULL;
}

kernel *double_replace_kernel(const char *name, const char *variant, kernel *by)
{
    CUfunction f = find(NULL, variant, name);
    kernel *const old = f ? f->run : NULL;
    if (f)
        f->run = by;
    return old;
}

/* ---- programs ---- */

enum { NAME = 32 };

struct _nvrtcProgram {
    char *source, module[NAME], image[3 * NAME], log[512];
};

static int create_program(nvrtcProgram *out, const char *source, const char *name, int headers)
{
    nvrtcProgram p = calloc(1, sizeof *p);
    if (headers > 0) {
        free(p);
        return report(NVRTC_INVALID_PROGRAM, "kernels include nothing");
    }
    snprintf(p->module, sizeof p->module, "%.*s", (int)strcspn(name, "."), name);
    p->source = strdup(source);
    *out = p;
    count_object(1);
    return 0;
}

static int fail_to_compile(nvrtcProgram p, int code, const char *why)
{
    snprintf(p->log, sizeof p->log, "%s.cu: %s", p->module, why);
    return report(code, "%s", p->log);
}

static const int known_architectures[] = {75, 80, 86, 89, 90, 100, 120};
enum { N_ARCHITECTURES = sizeof known_architectures / sizeof(int) };

static int is_known(int architecture)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (known_architectures[i] == architecture)
            return 1;
    return 0;
}

/* Whether the device runs code for an architecture, "sm_90" or "compute_90". */
static int runs(const char *architecture)
{
    int number;
    if (sscanf(architecture, "sm_%d", &number) == 1)
        return number <= capability() && number / 10 == capability() / 10;
    return sscanf(architecture, "compute_%d", &number) == 1 && number <= capability();
}

/* "sm_90" of the option --gpu-architecture=sm_90, if NVRTC knows it; else NULL. */
static const char *architecture_of(const char *option)
{
    static const char begin[] = "--gpu-architecture=";
    const char *name = option + sizeof begin - 1;
    int number;
    if (strncmp(option, begin, sizeof begin - 1) != 0 ||
        (sscanf(name, "sm_%d", &number) != 1 && sscanf(name, "compute_%d", &number) != 1))
        return NULL;
    return is_known(number) ? name : NULL;
}

static int compile(nvrtcProgram p, int n, const char *const *options)
{
    int is_double = 0, is_long = 0;
    char variant[NAME];
    const char *architecture = NULL;
    CUfunction f;
    for (int i = 0; i < n; i++)
        if (strcmp(options[i], "-DREAL_IS_DOUBLE") == 0)
            is_double = 1;
        else if (strcmp(options[i], "-DINDEX_IS_LONG") == 0)
            is_long = 1;
        else if (!architecture && architecture_of(options[i]))
            architecture = architecture_of(options[i]);
        else if (strcmp(options[i], "--std=c++17") != 0)
            return fail_to_compile(p, NVRTC_INVALID_OPTION, options[i]);
    if (!architecture)
        return fail_to_compile(p, NVRTC_INVALID_OPTION, "an architecture is not given");
    if (!runs(architecture))
        return fail_to_compile(p, NVRTC_INVALID_OPTION, "the device does not run this");
    snprintf(variant, sizeof variant, "%s_%s", is_double ? "double" : "float",
             is_long ? "long" : "int");
    f = find(p->module, variant, NULL);
    if (!f || strcmp(p->source, f->source) != 0)
        return fail_to_compile(p, NVRTC_COMPILATION, "this is not the text of the module");
    snprintf(p->image, sizeof p->image, "%s %s %s", architecture, p->module, variant);
    return 0;
}

/* What was compiled, if it is for this kind of architecture. */
static const char *image_of(nvrtcProgram p, const char *kind)
{
    return strncmp(p->image, kind, strlen(kind)) == 0 ? p->image : "";
}

static int set_size(size_t *out, size_t value)
{
    *out = value;
    return 0;
}

static int set_text(char *out, const char *text)
{
    strcpy(out, text);
    return 0;
}

static int destroy_program(nvrtcProgram *p)
{
    free((*p)->source);
    free(*p);
    *p = NULL;
    count_object(-1);
    return 0;
}

/* ---- modules ---- */

struct CUmod_st {
    char name[NAME], variant[NAME];
    CUmodule next;
};

static CUmodule modules;

/* The link that leads to a module, to NULL if it is not loaded. */
static CUmodule *link_to(CUmodule module)
{
    CUmodule *link = &modules;
    while (*link && *link != module)
        link = &(*link)->next;
    return link;
}

static int load(CUmodule *out, const char *image)
{
    char architecture[NAME];
    CUmodule module = calloc(1, sizeof *module);
    if (sscanf(image, "%31s %31s %31s", architecture, module->name, module->variant) != 3 ||
        !runs(architecture) || !find(module->name, module->variant, NULL)) {
        free(module);
        return report(INVALID_IMAGE, "no image of the double that the device runs: %.60s", image);
    }
    module->next = modules;
    *out = modules = module;
    count_object(1);
    return 0;
}

/* As on a GPU, its kernels have run then. */
static int unload(CUmodule module)
{
    CUmodule *link = link_to(module);
    run_everything();
    if (!*link)
        return report(INVALID_HANDLE, "this is no module");
    *link = module->next;
    free(module);
    count_object(-1);
    return 0;
}

static int get_function(CUfunction *out, CUmodule module, const char *name)
{
    if (!*link_to(module))
        return report(INVALID_HANDLE, "this is no module");
    *out = find(module->name, module->variant, name);
    return *out ? 0 : report(NOT_FOUND, "%s is not in the module %s", name, module->name);
}

int is_loaded(CUfunction function)
{
    for (CUmodule m = modules; m; m = m->next)
        if (strcmp(m->name, function->module) == 0 && strcmp(m->variant, function->variant) == 0)
            return 1;
    return 0;
}

/* ---- the functions ---- */

static int set_version(int *major, int *minor)
{
    *major = 13, *minor = 0;
    return 0;
}

static int set_architectures(int *out)
{
    memcpy(out, known_architectures, sizeof known_architectures);
    return 0;
}

nvrtcResult nvrtcVersion(int *major, int *minor)
{
    CALL(NOTHING, set_version(major, minor));
}

nvrtcResult nvrtcGetNumSupportedArchs(int *out)
{
    CALL(NOTHING, (*out = N_ARCHITECTURES, 0));
}

nvrtcResult nvrtcGetSupportedArchs(int *out)
{
    CALL(NOTHING, set_architectures(out));
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram *out, const char *source, const char *name, int n,
                               const char *const *headers, const char *const *names)
{
    (void)headers, (void)names;
    CALL(NOTHING, create_program(out, source, name, n));
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *options)
{
    CALL(NOTHING, compile(p, n, options));
}

nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *out)
{
    CALL(NOTHING, set_size(out, strlen(image_of(p, "sm_")) + 1));
}

nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *out)
{
    CALL(NOTHING, set_text(out, image_of(p, "sm_")));
}

nvrtcResult nvrtcGetPTXSize(nvrtcProgram p, size_t *out)
{
    CALL(NOTHING, set_size(out, strlen(image_of(p, "compute_")) + 1));
}

nvrtcResult nvrtcGetPTX(nvrtcProgram p, char *out)
{
    CALL(NOTHING, set_text(out, image_of(p, "compute_")));
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *out)
{
    CALL(NOTHING, set_size(out, strlen(p->log) + 1));
}

nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *out)
{
    CALL(NOTHING, set_text(out, p->log));
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram *p)
{
    RELEASE(NOTHING, destroy_program(p));
}

CUresult cuModuleLoadData(CUmodule *out, const void *image)
{
    CALL(CONTEXT, load(out, image));
}

CUresult cuModuleUnload(CUmodule module)
{
    RELEASE(CONTEXT, unload(module));
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule module, const char *name)
{
    CALL(CONTEXT, get_function(out, module, name));
}
