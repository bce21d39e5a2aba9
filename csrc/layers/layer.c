/* layer.c - builds a layer: options from settings, ports from wired inputs, then the type's own
 * setup. */
#include "layers/layer.h"

#include <string.h>

#define BS_LAYER_TYPE(constant) extern const bs_layer_type constant;
#include "layers/layers.def"

const bs_layer_type *const bs_layer_types[] = {
#define BS_LAYER_TYPE(constant) &constant,
#include "layers/layers.def"
    NULL};

const bs_layer_type *bs_layer_type_find(const char *name)
{
    for (int i = 0; bs_layer_types[i]; i++)
        if (strcmp(bs_layer_types[i]->name, name) == 0)
            return bs_layer_types[i];
    return NULL;
}

int bs_find_buffer(const bs_buffers_declared *list, const char *name)
{
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->buffer[i].name, name) == 0)
            return i;
    return -1;
}

int bs_find_partner(const bs_buffers_declared *internals, int internal)
{
    const bs_buffer *of = &internals->buffer[internal];
    for (int i = 0; i < internals->n; i++) {
        const bs_buffer *b = &internals->buffer[i];
        if (b->name[0] == 'd' && strcmp(b->name + 1, of->name) == 0 && b->shape.backward_only &&
            bs_shape_equal(&b->shape, &of->shape))
            return i;
    }
    return -1;
}

/* ---- ports ---- */

static bs_status copy_any_inputs(bs_layer *layer, int n, const bs_buffer *inputs, bs_error *err)
{
    if (n > BS_MAX_BUFFERS)
        return bs_fail(err, BS_LAYER, "%d inputs are connected, at most %d are possible", n,
                       BS_MAX_BUFFERS);
    BS_TRY(BS_ARENA_NEW(layer->arena, &layer->in.buffer, n, "ports", err));
    layer->in.n = n;
    for (int i = 0; i < n; i++)
        layer->in.buffer[i] = inputs[i];
    return BS_OK;
}

static bs_status match_port(bs_layer *layer, const bs_port *port, int n, const bs_buffer *inputs,
                            bs_error *err)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(inputs[i].name, port->name) != 0)
            continue;
        if (!bs_shape_matches(&inputs[i].shape, port->pattern)) {
            char text[120];
            bs_shape_text(text, sizeof text, &inputs[i].shape);
            return bs_fail(err, BS_LAYER, "input '%s' has shape %s, expected (%s)", port->name,
                           text, port->pattern);
        }
        layer->in.buffer[layer->in.n++] = (bs_buffer){
            .name = port->name, .shape = inputs[i].shape, .flags = port->flags};
        return BS_OK;
    }
    if (port->flags & BS_OPTIONAL)
        return BS_OK;
    return bs_fail(err, BS_LAYER, "input '%s' is not connected", port->name);
}

static int has_positive_sizes(const bs_shape *shape)
{
    for (int i = 0; i < shape->ndim; i++)
        if (shape->dim[i] < 1)
            return 0;
    return 1;
}

bs_status bs_check_shape(const char *what, const char *name, const bs_shape *shape, bs_error *err)
{
    const int most = shape->scale == BS_FIXED ? BS_MAX_NDIM : BS_MAX_FEATURES;
    if (shape->ndim > most)
        return bs_fail(err, BS_LAYER, "%s '%s' has %d feature dimensions, at most %d are possible",
                       what, name, shape->ndim, most);
    if (!has_positive_sizes(shape)) {
        char text[120];
        bs_shape_text(text, sizeof text, shape);
        return bs_fail(err, BS_LAYER, "%s '%s' would have shape %s, sizes must be positive", what,
                       name, text);
    }
    int64_t size = 1;
    for (int i = 0; i < shape->ndim; i++)
        if (__builtin_mul_overflow(size, shape->dim[i], &size) || size > BS_MAX_SIZE)
            return bs_fail(err, BS_LAYER, "%s '%s' is too large for any memory", what, name);
    return BS_OK;
}

static bs_status set_inputs(bs_layer *layer, int n, const bs_buffer *inputs, bs_error *err)
{
    const bs_port none = {0}, *ports = layer->type->inputs ? layer->type->inputs : &none;
    int n_ports = 0;
    if (layer->type->flags & BS_ANY_INPUTS)
        return copy_any_inputs(layer, n, inputs, err);
    while (ports[n_ports].name)
        n_ports++;
    BS_TRY(BS_ARENA_NEW(layer->arena, &layer->in.buffer, n_ports, "ports", err));
    for (int i = 0; i < n; i++) {
        int known = 0;
        BS_TRY(bs_check_shape("input", inputs[i].name, &inputs[i].shape, err));
        for (int p = 0; p < n_ports; p++)
            known |= strcmp(ports[p].name, inputs[i].name) == 0;
        if (known)
            continue;
        bs_fail(err, BS_LAYER, "there is no input '%s'; there are: ", inputs[i].name);
        for (int p = 0; p < n_ports; p++)
            bs_error_append(err, "%s%s", p ? ", " : "", ports[p].name);
        return BS_LAYER;
    }
    for (int p = 0; p < n_ports; p++)
        BS_TRY(match_port(layer, &ports[p], n, inputs, err));
    return BS_OK;
}

/* ---- declarations ---- */

static bs_status declare(bs_layer *layer, bs_buffers_declared *list, const char *what,
                         const char *name, bs_shape shape, unsigned flags, bs_error *err)
{
    BS_TRY(bs_check_shape(what, name, &shape, err));
    if (shape.backward_only && list != &layer->inner)
        return bs_fail(err, BS_LAYER, "%s '%s' cannot be backward only", what, name);
    if (bs_find_buffer(list, name) >= 0)
        return bs_fail(err, BS_LAYER, "there are two %ss called '%s'", what, name);
    if (!list->buffer)
        BS_TRY(BS_ARENA_NEW(layer->arena, &list->buffer, BS_MAX_BUFFERS, "the buffers of a layer",
                            err));
    if (list->n == BS_MAX_BUFFERS)
        return bs_fail(err, BS_LAYER, "more than %d %ss", BS_MAX_BUFFERS, what);
    char *copy = bs_arena_text(layer->arena, name);
    if (!copy)
        return bs_fail(err, BS_NO_MEMORY, "no memory for the %s '%s'", what, name);
    list->buffer[list->n++] = (bs_buffer){.name = copy, .shape = shape, .flags = flags};
    return BS_OK;
}

bs_status bs_add_output(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    return declare(layer, &layer->out, "output", name, shape, 0, err);
}

bs_status bs_add_final_output(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    return declare(layer, &layer->out, "output", name, shape, BS_NO_DELTA, err);
}

bs_status bs_add_parameter(bs_layer *layer, const char *name, bs_shape shape, unsigned flags,
                           bs_error *err)
{
    BS_ASSERT(shape.scale == BS_FIXED);
    return declare(layer, &layer->param, "parameter", name, shape, flags, err);
}

bs_status bs_add_internal(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    return declare(layer, &layer->inner, "internal", name, shape, 0, err);
}

bs_status bs_add_internal_to_strip(bs_layer *layer, const char *name, bs_shape shape, int strip,
                                   bs_error *err)
{
    BS_ASSERT(shape.ndim == 1 && strip > 0);
    BS_TRY(bs_add_internal(layer, name, shape, err));
    layer->inner.buffer[layer->inner.n - 1].strip = strip;
    return BS_OK;
}

bs_status bs_layer_create(bs_layer *out, bs_arena *arena, const bs_layer_type *type,
                          const char *name, int n_settings, const bs_setting *settings,
                          int n_inputs, const bs_buffer *inputs, bs_error *err)
{
    bs_status status = BS_OK;
    char *state;
    *out = (bs_layer){.type = type, .arena = arena, .name = bs_arena_text(arena, name)};
    if (!out->name)
        return bs_fail(err, BS_NO_MEMORY, "no memory for layer '%s'", name);
    BS_TRY(BS_ARENA_NEW(arena, &state, type->state_size, "the state of a layer", err));
    out->state = state;
    BS_TRY_DONE(bs_options_set(state, type->options, n_settings, settings, err));
    BS_TRY_DONE(set_inputs(out, n_inputs, inputs, err));
    BS_TRY_DONE(type->setup(out, out->state, err));
done:
    if (status != BS_OK && status != BS_CALLBACK)
        bs_error_prefix(err, "layer '%s': %s", name, type->name);
    return status;
}
