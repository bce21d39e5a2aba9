/* handler.c - opening devices, and what a handle carries: the sticky error, the random stream,
 * scratch memory.
 *
 * Scratch is a stack over a few chunks. Chunks are kept until the handle is closed, and the same
 * sequence of marks, takes and releases finds the same places again, so a second pass at a size
 * allocates nothing. */
#include "handlers/handler.h"

#include <string.h>

#include "handlers/fallback.h"

/* ---- the list of handlers ---- */

#define BS_HANDLER(constant, name) extern const bs_handler_type constant;
#include "handlers/handlers.def"

static const bs_handler_type *const types[] = {
#define BS_HANDLER(constant, name) &constant,
#include "handlers/handlers.def"
    NULL};

const char *const bs_handler_names[] = {
#define BS_HANDLER(constant, name) name,
#include "handlers/handlers.def"
    NULL};

static const bs_handler_type *find(const char *name)
{
    for (int i = 0; types[i]; i++)
        if (strcmp(bs_handler_names[i], name) == 0)
            return types[i];
    return NULL;
}

const char *bs_handler_info(const char *name, const char *key)
{
    const bs_handler_type *type = find(name);
    return type && type->info ? type->info(key) : NULL;
}

/* ---- devices ---- */

static bs_status check_holes(const bs_device *device, bs_error *err)
{
#define BS_OP(op, need, rule, signature, arguments, formula)                                       \
    if (!device->ops.op)                                                                           \
        return bs_fail(err, BS_DEVICE, "handler '%s' has no operation '%s'", device->type->name,   \
                       #op);
#include "handlers/ops.def"
    if (!device->allocate || !device->write || !device->read || !device->is_fully_finite ||
        (!device->type->host_memory && (!device->stage || !device->upload)))
        return bs_fail(err, BS_DEVICE, "handler '%s' lacks a memory function", device->type->name);
    return BS_OK;
}

bs_status bs_device_open_type(bs_device **out, const bs_handler_type *type, bs_dtype dtype,
                              const bs_device_options *options, bs_error *err)
{
    bs_status status = BS_OK;
    bs_device *device = bs_alloc(sizeof *device);
    *out = NULL;
    if (!device)
        return bs_fail(err, BS_NO_MEMORY, "no memory for handler '%s'", type->name);
    device->type = type;
    device->dtype = dtype;
    device->memory = device;
    if (options)
        device->options = *options;
    device->references = 1;
    BS_TRY_DONE(type->open(device, err));
    bs_fill_with_fallbacks(&device->ops);
    BS_TRY_DONE(check_holes(device, err));
    *out = device;
done:
    if (status != BS_OK)
        bs_device_release(device);
    return status;
}

bs_status bs_device_open(bs_device **out, const char *name, bs_dtype dtype,
                         const bs_device_options *options, bs_error *err)
{
    const bs_handler_type *type = find(name);
    *out = NULL;
    if (!type)
        return bs_fail(err, BS_KEY, "there is no handler '%s'", name);
    return bs_device_open_type(out, type, dtype, options, err);
}

bs_device *bs_device_retain(bs_device *device)
{
    __atomic_add_fetch(&device->references, 1, __ATOMIC_RELAXED);
    return device;
}

void bs_device_release(bs_device *device)
{
    if (!device || __atomic_sub_fetch(&device->references, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    if (device->type->close)
        device->type->close(device);
    bs_free(device);
}

/* ---- handles ---- */

void bs_handler_init(bs_handler *h, bs_device *device, bs_stream *stream)
{
    *h = (bs_handler){
        .ops = &device->ops, .device = device, .dtype = device->dtype, .stream = stream};
}

void bs_handler_close(bs_handler *h)
{
    for (int i = 0; i < h->scratch.n_chunks; i++)
        bs_block_release(h->scratch.chunk[i]);
    memset(&h->scratch, 0, sizeof h->scratch);
    if (h->device && h->device->close_handle)
        h->device->close_handle(h);
    h->impl = NULL;
}

void bs_expect_finite(bs_handler *h, const bs_array *a, const char *what)
{
    if (h->error.code != BS_OK)
        return;
    if (h->device->expect_finite)
        h->device->expect_finite(h, a, what);
    else if (!h->device->is_fully_finite(h, a))
        bs_fail(&h->error, BS_VALUE, "%s", what);
}

/* ---- scratch ---- */

enum {
    MAX_CHUNKS = sizeof((bs_handler *)0)->scratch.chunk / sizeof(bs_block *),
    FIRST_CHUNK_BYTES = 1 << 16
};

bs_mark bs_scratch_mark(const bs_handler *h)
{
    return (bs_mark){.chunk = h->scratch.current, .used = h->scratch.used};
}

void bs_scratch_release(bs_handler *h, bs_mark mark)
{
    h->scratch.current = mark.chunk;
    h->scratch.used = mark.used;
}

/* Adds a chunk as large as all before it, and at least `bytes`. */
static int add_chunk(bs_handler *h, size_t bytes)
{
    size_t size = FIRST_CHUNK_BYTES;
    for (int i = 0; i < h->scratch.n_chunks; i++)
        size += h->scratch.chunk[i]->bytes;
    if (size < bytes)
        size = bytes;
    if (h->scratch.n_chunks == MAX_CHUNKS) {
        bs_fail(&h->error, BS_NO_MEMORY, "too many pieces");
        return 0;
    }
    bs_block *block = h->device->allocate(h->device, size, &h->error);
    if (!block)
        return 0;
    h->scratch.chunk[h->scratch.n_chunks++] = block;
    return 1;
}

void *bs_scratch_take(bs_handler *h, size_t bytes)
{
    const size_t rounded = (bytes + BS_ALIGNMENT - 1) / BS_ALIGNMENT * BS_ALIGNMENT;
    int chunk = h->scratch.current;
    size_t used = h->scratch.used;
    while (chunk < h->scratch.n_chunks && h->scratch.chunk[chunk]->bytes - used < rounded) {
        chunk++;
        used = 0;
    }
    if (rounded < bytes) {
        bs_fail(&h->error, BS_NO_MEMORY, "no memory is as large as %zu bytes", bytes);
        return NULL;
    }
    if (chunk == h->scratch.n_chunks && !add_chunk(h, rounded)) {
        bs_error_prefix(&h->error, "no memory for %zu bytes of scratch", bytes);
        return NULL;
    }
    h->scratch.current = chunk;
    h->scratch.used = used + rounded;
    return (char *)h->scratch.chunk[chunk]->data + used;
}

bs_array bs_scratch_like(bs_handler *h, const bs_array *a)
{
    bs_array out = *a;
    out.pitch = bs_cols(a);
    out.data = bs_scratch_take(h, (size_t)bs_count(a) * bs_dtype_size(a->dtype));
    return out;
}

bs_array bs_scratch_array(bs_handler *h, int ndim, const int64_t *dim)
{
    const bs_array shape = bs_array_packed(NULL, h->dtype, ndim, dim);
    return bs_scratch_like(h, &shape);
}

bs_block *bs_scratch_block(const bs_handler *h, const void *data)
{
    const char *at = data;
    for (int i = 0; i < h->scratch.n_chunks; i++) {
        const char *start = h->scratch.chunk[i]->data;
        if (at >= start && at < start + h->scratch.chunk[i]->bytes)
            return h->scratch.chunk[i];
    }
    return NULL;
}
