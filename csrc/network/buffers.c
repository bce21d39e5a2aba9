/* buffers.c - offsets of hubs for a given T and B, and the blocks behind them.
 *
 * New blocks are made before old ones are let go, so a failure leaves everything as it was. */
#include "network/buffers.h"

#include <string.h>

/* Rows shorter than this many bytes are not padded: as one packed piece they are faster. */
enum { SHORT_ROW = 256 };

/* Elements from one row of a hub to the next. Images stay packed, so that a row of pixels is one
 * too. Large powers of two are avoided: rows a multiple of 2 KiB apart fall into the same cache
 * sets. */
static int64_t hub_pitch(const bs_layout *layout, int index, bs_dtype dtype)
{
    const bs_hub *hub = &layout->hub[layout->hub[index].host];
    const int64_t size = (int64_t)bs_dtype_size(dtype), step = BS_ALIGNMENT / size;
    if (hub->scale == BS_FIXED || hub->rank > 1 || hub->row * size < SHORT_ROW)
        return hub->row;
    const int64_t pitch = (hub->row + step - 1) / step * step;
    return pitch * size % 2048 == 0 ? pitch + step : pitch;
}

static bs_block *const *hub_block(const bs_buffers *b, int hub)
{
    const bs_layout *layout = b->layout;
    if (hub == layout->leaf[BS_LEAF_PARAMETERS].hub || hub == layout->leaf[BS_LEAF_GRADIENTS].hub)
        return &b->constants;
    return layout->hub[hub].backward_only ? &b->backward : &b->forward;
}

/* Bytes of a hub, rounded up to the alignment, 0 for one in another's rows; BS_VALUE if there is no
 * such number. */
static bs_status hub_bytes(const bs_layout *layout, int index, bs_dtype dtype, int64_t T, int64_t B,
                           size_t *out, bs_error *err)
{
    const bs_hub *hub = &layout->hub[index];
    int64_t steps, bytes = hub->host == index ? hub_pitch(layout, index, dtype) : 0;
    int bad = __builtin_mul_overflow(bytes, (int64_t)bs_dtype_size(dtype), &bytes);
    bad |= __builtin_mul_overflow(bytes, hub->pixels, &bytes);
    if (hub->scale != BS_FIXED)
        bad |= __builtin_mul_overflow(bytes, B, &bytes);
    if (hub->scale == BS_TIME) {
        bad |= __builtin_add_overflow(T, hub->context, &steps);
        bad |= __builtin_mul_overflow(bytes, steps, &bytes);
    }
    if (bad || bytes > INT64_MAX / 4)
        return bs_fail(err, BS_VALUE,
                       "%lld time steps of %lld sequences are too many for any memory",
                       (long long)T, (long long)B);
    *out = ((size_t)bytes + BS_ALIGNMENT - 1) / BS_ALIGNMENT * BS_ALIGNMENT;
    return BS_OK;
}

/* Offsets of all hubs, and the bytes of the three blocks {constants, forward, backward}. */
static bs_status measure(const bs_buffers *b, bs_dtype dtype, int64_t T, int64_t B, size_t *offset,
                         size_t total[3], bs_error *err)
{
    memset(total, 0, 3 * sizeof *total);
    for (int i = 0; i < b->layout->n_hubs; i++) {
        bs_block *const *block = hub_block(b, i);
        size_t *sum = &total[block == &b->constants ? 0 : block == &b->forward ? 1 : 2], bytes = 0;
        BS_TRY(hub_bytes(b->layout, i, dtype, T, B, &bytes, err));
        offset[i] = *sum;
        if (__builtin_add_overflow(*sum, bytes, sum))
            return bs_fail(err, BS_VALUE, "the network is too large for any memory");
    }
    for (int i = 0; i < b->layout->n_hubs; i++) {
        const bs_hub *hub = &b->layout->hub[i];
        if (hub->host != i)
            offset[i] = offset[hub->host] + (size_t)hub->host_column * bs_dtype_size(dtype);
    }
    return BS_OK;
}

static bs_status new_block(bs_device *device, size_t bytes, bs_block **out, bs_error *err)
{
    bs_error why = {0};
    *out = device->allocate(device, bytes, &why);
    return *out ? BS_OK
                : bs_fail(err, why.code, "no memory for %.1f MB of buffers: %s",
                          (double)bytes / 1e6, why.text);
}

/* Replaces *block by a new one if it exists (or `must`) and is smaller than needed; *fresh says
 * what was made. */
static bs_status enlarge(bs_device *device, bs_block *block, int must, size_t bytes,
                         bs_block **fresh, bs_error *err)
{
    *fresh = NULL;
    if (block ? block->bytes >= bytes : !must)
        return BS_OK;
    return new_block(device, bytes, fresh, err);
}

static void replace(bs_block **block, bs_block *fresh)
{
    if (fresh) {
        bs_block_release(*block);
        *block = fresh;
    }
}

bs_status bs_buffers_open(bs_buffers *out, bs_arena *arena, const bs_layout *layout,
                          bs_device *device, bs_error *err)
{
    size_t total[3];
    *out = (bs_buffers){.layout = layout, .T = 1, .B = 1, .device = bs_device_retain(device)};
    BS_TRY(BS_ARENA_NEW(arena, &out->offset, layout->n_hubs, "buffers", err));
    BS_TRY(BS_ARENA_NEW(arena, &out->offset_new, layout->n_hubs, "buffers", err));
    BS_TRY(measure(out, device->dtype, 1, 1, out->offset, total, err));
    BS_TRY(new_block(device, total[0], &out->constants, err));
    return new_block(device, total[1], &out->forward, err);
}

void bs_buffers_close(bs_buffers *b)
{
    bs_block_release(b->constants);
    bs_block_release(b->forward);
    bs_block_release(b->backward);
    bs_device_release(b->device);
    *b = (bs_buffers){0};
}

bs_status bs_buffers_resize(bs_buffers *b, int64_t T, int64_t B, bs_error *err)
{
    size_t total[3];
    bs_block *forward = NULL, *backward = NULL;
    bs_status status = BS_OK;
    if (T == b->T && B == b->B)
        return BS_OK;
    if (T < 1 || B < 1)
        return bs_fail(err, BS_VALUE,
                       "at least one time step and one sequence are needed, got T=%lld, B=%lld",
                       (long long)T, (long long)B);
    BS_TRY_DONE(measure(b, b->device->dtype, T, B, b->offset_new, total, err));
    BS_TRY_DONE(enlarge(b->device, b->forward, 1, total[1], &forward, err));
    BS_TRY_DONE(enlarge(b->device, b->backward, 0, total[2], &backward, err));
    replace(&b->forward, forward);
    replace(&b->backward, backward);
    forward = backward = NULL;
    memcpy(b->offset, b->offset_new, (size_t)b->layout->n_hubs * sizeof *b->offset);
    b->T = T;
    b->B = B;
done:
    bs_block_release(forward);
    bs_block_release(backward);
    return status;
}

bs_status bs_buffers_need_backward(bs_buffers *b, bs_error *err)
{
    size_t total[3];
    if (b->backward)
        return BS_OK;
    BS_TRY(measure(b, b->device->dtype, b->T, b->B, b->offset_new, total, err));
    return new_block(b->device, total[2], &b->backward, err);
}

bs_array bs_buffers_array(const bs_buffers *b, int leaf)
{
    const bs_leaf *l = &b->layout->leaf[leaf];
    const bs_hub *hub = &b->layout->hub[l->hub];
    const bs_block *block = *hub_block(b, l->hub);
    const int dims_in_front = hub->n_sources > 1 ? l->shape.ndim - 1 : 0; /* of the last: pixels */
    bs_array a = {.dtype = (int8_t)b->device->dtype,
                  .lead = (int8_t)((int)l->shape.scale + dims_in_front)};
    if (block)
        a.data = (char *)block->data + b->offset[l->hub] +
                 (size_t)l->column * bs_dtype_size(b->device->dtype);
    if (l->shape.scale == BS_TIME)
        a.dim[a.ndim++] = b->T + l->shape.context;
    if (l->shape.scale != BS_FIXED)
        a.dim[a.ndim++] = b->B;
    for (int i = 0; i < l->shape.ndim; i++)
        a.dim[a.ndim++] = l->shape.dim[i];
    a.pitch = a.lead == 0 ? bs_cols(&a) : hub_pitch(b->layout, l->hub, b->device->dtype);
    return a;
}

bs_block *bs_buffers_block(const bs_buffers *b, int leaf)
{
    return *hub_block(b, b->layout->leaf[leaf].hub);
}

/* ---- moving ---- */

/* Copies n packed numbers from one device to another by way of the host, converting the dtype. */
static bs_status convey(bs_device *from, const bs_array *source, bs_device *to,
                        const bs_array *dest, bs_error *err)
{
    const int64_t n = bs_count(source);
    bs_status status = BS_OK;
    void *host = bs_alloc((size_t)n * bs_dtype_size(from->dtype));
    void *converted = bs_alloc((size_t)n * bs_dtype_size(to->dtype));
    if (!host || !converted) {
        status = bs_fail(err, BS_NO_MEMORY, "no memory to move %lld parameters", (long long)n);
        goto done;
    }
    BS_TRY_DONE(from->read(from, source, host, err));
    for (int64_t i = 0; i < n; i++) {
        const double value = from->dtype == BS_F64 ? ((double *)host)[i] : ((float *)host)[i];
        if (to->dtype == BS_F64)
            ((double *)converted)[i] = value;
        else
            ((float *)converted)[i] = (float)value;
    }
    BS_TRY_DONE(to->write(to, dest, converted, err));
done:
    bs_free(host);
    bs_free(converted);
    return status;
}

bs_status bs_buffers_move(bs_buffers *b, bs_device *device, bs_error *err)
{
    bs_buffers moved = {
        .layout = b->layout, .device = device, .T = b->T, .B = b->B, .offset = b->offset_new};
    size_t total[3];
    bs_status status = BS_OK;
    BS_TRY_DONE(measure(&moved, device->dtype, b->T, b->B, moved.offset, total, err));
    BS_TRY_DONE(new_block(device, total[0], &moved.constants, err));
    BS_TRY_DONE(new_block(device, total[1], &moved.forward, err));
    if (b->backward)
        BS_TRY_DONE(new_block(device, total[2], &moved.backward, err));
    for (int leaf = BS_LEAF_PARAMETERS; leaf <= BS_LEAF_GRADIENTS; leaf++) {
        const bs_array source = bs_buffers_array(b, leaf), dest = bs_buffers_array(&moved, leaf);
        BS_TRY_DONE(convey(b->device, &source, device, &dest, err));
    }
    moved.offset_new = b->offset;
    bs_device_retain(device);
    bs_buffers_close(b);
    *b = moved;
    return BS_OK;
done:
    bs_block_release(moved.constants);
    bs_block_release(moved.forward);
    bs_block_release(moved.backward);
    return status;
}
