/* cpu.c - the handler "cpu": dispatch by instruction set, and memory of the host. */
#include "handlers/cpu/cpu.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "handlers/cpu/blas.h"

/* ---- instruction sets ---- */

bs_cpu_fill bs_cpu_fill_table_f32_base, bs_cpu_fill_table_f64_base;

static int runs_base(void)
{
    return 1;
}

#if defined(BS_X86)
bs_cpu_fill bs_cpu_fill_table_f32_avx2, bs_cpu_fill_table_f64_avx2;
bs_cpu_fill bs_cpu_fill_table_f32_avx512, bs_cpu_fill_table_f64_avx512;

static int runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

static const bs_cpu_set sets[] = {
    /* the best one last */
    {"base", {bs_cpu_fill_table_f32_base, bs_cpu_fill_table_f64_base}, runs_base},
#if defined(BS_X86)
    {"avx2", {bs_cpu_fill_table_f32_avx2, bs_cpu_fill_table_f64_avx2}, runs_avx2},
    {"avx512", {bs_cpu_fill_table_f32_avx512, bs_cpu_fill_table_f64_avx512}, runs_avx512},
#endif
};

enum { N_SETS = sizeof sets / sizeof sets[0] };

static pthread_once_t names_once = PTHREAD_ONCE_INIT;
static char names[64];

static void write_names(void)
{
    size_t used = 0;
    for (int i = 0; i < N_SETS; i++)
        if (sets[i].runs())
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "",
                                     sets[i].name);
}

const char *bs_cpu_available(void)
{
    pthread_once(&names_once, write_names);
    return names;
}

bs_status bs_cpu_choose(const bs_cpu_set **out, bs_error *err)
{
    const char *wanted = getenv("BRAINSTORM_CPU");
    *out = NULL;
    for (int i = 0; i < N_SETS; i++)
        if (sets[i].runs() && (!wanted || !*wanted || strcmp(wanted, sets[i].name) == 0))
            *out = &sets[i];
    if (*out)
        return BS_OK;
    return bs_fail(err, BS_DEVICE, "BRAINSTORM_CPU is '%s', this machine has: %s", wanted,
                   bs_cpu_available());
}

/* ---- memory ---- */

static void free_block(bs_block *block)
{
    bs_free(block);
}

static bs_block *allocate(bs_device *device, size_t bytes, bs_error *err)
{
    const size_t head = (sizeof(bs_block) + BS_ALIGNMENT - 1) / BS_ALIGNMENT * BS_ALIGNMENT;
    bs_block *block = bytes > SIZE_MAX - head ? NULL : bs_alloc(head + bytes);
    (void)device;
    if (block)
        *block = (bs_block){
            .data = (char *)block + head, .bytes = bytes, .references = 1, .release = free_block};
    else
        bs_fail(err, BS_NO_MEMORY, "out of memory");
    return block;
}

static bs_status write_array(bs_device *device, const bs_array *array, const void *host,
                             bs_error *err)
{
    const size_t size = bs_dtype_size(array->dtype), row = (size_t)bs_cols(array) * size;
    (void)device, (void)err;
    for (int64_t i = 0; i < bs_rows(array); i++)
        memcpy((char *)array->data + (size_t)(i * array->pitch) * size,
               (const char *)host + (size_t)i * row, row);
    return BS_OK;
}

static bs_status read_array(bs_device *device, const bs_array *array, void *host, bs_error *err)
{
    const size_t size = bs_dtype_size(array->dtype), row = (size_t)bs_cols(array) * size;
    (void)device, (void)err;
    for (int64_t i = 0; i < bs_rows(array); i++)
        memcpy((char *)host + (size_t)i * row,
               (const char *)array->data + (size_t)(i * array->pitch) * size, row);
    return BS_OK;
}

/* ---- the handler ---- */

static bs_status open_cpu(bs_device *device, bs_error *err)
{
    const bs_cpu_set *set;
    BS_TRY(bs_cpu_choose(&set, err));
    BS_TRY(bs_blas_check(err));
    BS_TRY(bs_check_threads_wanted(err));
    set->fill[device->dtype](device);
    device->allocate = allocate;
    device->write = write_array;
    device->read = read_array;
    return BS_OK;
}

static const char *info(const char *key)
{
    const bs_cpu_set *set;
    if (strcmp(key, "instruction_set") == 0)
        return bs_cpu_choose(&set, NULL) == BS_OK ? set->name : NULL;
    if (strcmp(key, "instruction_sets") == 0)
        return bs_cpu_available();
    if (strcmp(key, "blas") == 0)
        return bs_blas_name();
    return NULL;
}

extern const bs_handler_type bs_cpu_handler;
const bs_handler_type bs_cpu_handler = {
    .name = "cpu", .host_memory = 1, .open = open_cpu, .info = info};
