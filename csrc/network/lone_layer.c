/* lone_layer.c - a layer with a layout of its own; all marks are BS_ADD. */
#include "network/lone_layer.h"

#include <string.h>

#include "base/subnormal.h"

struct bs_lone_layer {
    bs_arena arena;
    bs_layer layer;
    bs_wiring wiring;
    bs_layout layout;
    bs_buffers buffers; /* device NULL before the first bs_lone_layer_resize */
    bs_array *array;    /* [leaf] */
    bs_write *add, *set;
    bs_pass pass; /* of the last forward pass */
};

bs_status bs_lone_layer_create(bs_lone_layer **out, const bs_layer_type *type, const char *name,
                               int n_settings, const bs_setting *settings, int n_inputs,
                               const bs_buffer *inputs, bs_error *err)
{
    bs_status status = BS_OK;
    bs_lone_layer *lone = bs_alloc(sizeof *lone);
    *out = NULL;
    if (!lone)
        return bs_fail(err, BS_NO_MEMORY, "no memory for layer '%s'", name);
    BS_TRY_DONE(bs_layer_create(&lone->layer, &lone->arena, type, name, n_settings, settings,
                                n_inputs, inputs, err));
    BS_TRY_DONE(bs_wiring_of_layers(&lone->wiring, &lone->arena, 1, &lone->layer, 0, NULL, err));
    BS_TRY_DONE(bs_layout_create(&lone->layout, &lone->arena, &lone->wiring, err));
    const int n = lone->layout.n_leaves;
    BS_TRY_DONE(BS_ARENA_NEW(&lone->arena, &lone->array, n, "a layer", err));
    BS_TRY_DONE(BS_ARENA_NEW(&lone->arena, &lone->add, n, "a layer", err));
    BS_TRY_DONE(BS_ARENA_NEW(&lone->arena, &lone->set, n, "a layer", err));
    for (int i = 0; i < n; i++)
        lone->add[i] = BS_ADD, lone->set[i] = BS_SET;
    lone->pass = BS_TRAINING;
    *out = lone;
    return BS_OK;
done:
    bs_lone_layer_close(lone);
    return status;
}

void bs_lone_layer_close(bs_lone_layer *lone)
{
    if (!lone)
        return;
    if (lone->buffers.device)
        bs_buffers_close(&lone->buffers);
    bs_arena_close(&lone->arena);
    bs_free(lone);
}

const bs_layer *bs_lone_layer_layer(const bs_lone_layer *lone)
{
    return &lone->layer;
}

const bs_layout *bs_lone_layer_layout(const bs_lone_layer *lone)
{
    return &lone->layout;
}

bs_status bs_lone_layer_resize(bs_lone_layer *lone, bs_device *device, int64_t T, int64_t B,
                               bs_error *err)
{
    if (!lone->buffers.device) {
        const bs_status status = bs_buffers_open(&lone->buffers, &lone->arena, &lone->layout,
                                                 device, err);
        if (status != BS_OK) {
            bs_buffers_close(&lone->buffers);
            return status;
        }
    }
    if (lone->buffers.device != device)
        BS_TRY(bs_buffers_move(&lone->buffers, device, err));
    BS_TRY(bs_buffers_resize(&lone->buffers, T, B, err));
    BS_TRY(bs_buffers_need_backward(&lone->buffers, err));
    for (int i = 0; i < lone->layout.n_leaves; i++)
        lone->array[i] = bs_buffers_array(&lone->buffers, i);
    return BS_OK;
}

bs_array bs_lone_layer_array(const bs_lone_layer *lone, int leaf)
{
    return lone->array[leaf];
}

static bs_io make_io(const bs_lone_layer *lone)
{
    const int *first = lone->layout.first[0];
    return (bs_io){.in = &lone->array[first[BS_INPUTS]],
                   .out = &lone->array[first[BS_OUTPUTS]],
                   .param = &lone->array[first[BS_PARAMETERS]],
                   .inner = &lone->array[first[BS_INTERNALS]],
                   .d_in = &lone->array[first[BS_INPUT_DELTAS]],
                   .d_out = &lone->array[first[BS_OUTPUT_DELTAS]],
                   .d_param = &lone->array[first[BS_GRADIENTS]],
                   .d_in_write = lone->add,
                   .d_param_write = lone->add,
                   .inner_write = lone->set,
                   .pass = lone->pass};
}

/* Zeroes the slots behind the last step of what flows back: there is no later step. */
static void zero_future(const bs_lone_layer *lone, bs_handler *h)
{
    for (int i = 0; i < lone->layout.n_leaves; i++) {
        const bs_shape *shape = &lone->layout.leaf[i].shape;
        if (!shape->context || !shape->backward_only)
            continue;
        const bs_array slot = bs_slice(&lone->array[i], lone->buffers.T, shape->context);
        bs_fill(h, &slot, 0.0);
    }
}

static bs_status run(bs_lone_layer *lone, bs_stream *stream, int backward, bs_error *err)
{
    bs_handler h;
    const bs_io io = make_io(lone);
    bs_handler_init(&h, lone->buffers.device, stream);
    const int flushed = bs_flush_subnormals(1);
    if (backward) {
        zero_future(lone, &h);
        if (lone->layer.type->backward)
            lone->layer.type->backward(&h, lone->layer.state, &io);
    } else {
        lone->layer.type->forward(&h, lone->layer.state, &io);
    }
    bs_flush_subnormals(flushed);
    bs_handler_finish(&h);
    bs_handler_close(&h);
    if (h.error.code != BS_OK) {
        bs_error_prefix(&h.error, "layer '%s'", lone->layer.name);
        if (err && err->code == BS_OK)
            *err = h.error;
    }
    return h.error.code;
}

bs_status bs_lone_layer_forward(bs_lone_layer *lone, bs_stream *stream, bs_pass pass, bs_error *err)
{
    lone->pass = pass;
    return run(lone, stream, 0, err);
}

bs_status bs_lone_layer_backward(bs_lone_layer *lone, bs_stream *stream, bs_error *err)
{
    return run(lone, stream, 1, err);
}
