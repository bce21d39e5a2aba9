/* layer.c - builds a layer: options from settings, ports from wired inputs, then the type's own
 * setup. */
#include "layers/layer.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

bs_status bs_layer_fail(const bs_layer *layer, bs_error *err, const char *fmt, ...)
{
    char text[BS_ERROR_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return bs_fail(err, BS_LAYER, "%s: %s", layer->type->name, text);
}

int bs_find_buffer(const bs_buffers_declared *list, const char *name)
{
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->buffer[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- options ---- */

/* Position of `text` among the words of `choices`, or -1. */
static int find_choice(const char *choices, const char *text)
{
    const size_t length = strlen(text);
    for (int i = 0; *choices; i++) {
        const size_t word = strcspn(choices, " ");
        if (word == length && strncmp(choices, text, length) == 0)
            return i;
        choices += word + strspn(choices + word, " ");
    }
    return -1;
}

/* A setting as users would write it, for messages. */
static const char *setting_text(char *text, size_t size, const bs_setting *s)
{
    if (s->kind == BS_NUMBER)
        snprintf(text, size, "%.12g", s->number);
    else if (s->kind == BS_TEXT)
        snprintf(text, size, "'%s'", s->text);
    else if (s->kind == BS_SIZES)
        bs_dims_text(text, size, s->n, s->sizes);
    else
        snprintf(text, size, "%s", s->kind == BS_NONE ? "None" : "an object of another kind");
    return text;
}

static bs_status bad_option(const bs_layer *layer, const bs_option *o, const bs_setting *s,
                            const char *wanted, bs_error *err)
{
    char text[120];
    return bs_layer_fail(layer, err, "%s must be %s, got %s", o->name, wanted,
                         setting_text(text, sizeof text, s));
}

/* The setting as whole numbers: one for a number, several for a tuple; 0 if it is neither. */
static int whole_numbers(const bs_setting *s, int64_t *out)
{
    if (s->kind == BS_NUMBER && s->is_integer && fabs(s->number) < 9e15) {
        out[0] = (int64_t)s->number;
        return 1;
    }
    if (s->kind != BS_SIZES)
        return 0;
    memcpy(out, s->sizes, (size_t)s->n * sizeof *out);
    return s->n;
}

static int all_at_least(const int64_t *values, int n, int64_t least)
{
    for (int i = 0; i < n; i++)
        if (values[i] < least)
            return 0;
    return n > 0;
}

static bs_status set_sizes(const bs_layer *layer, const bs_option *o, const bs_setting *s,
                           void *place, bs_error *err)
{
    int64_t values[BS_MAX_NDIM];
    const int n = whole_numbers(s, values);
    if (o->kind == BS_OPT_SIZE) {
        bs_size_option *size = place;
        if (s->kind == BS_NONE && o->standard)
            return BS_OK;
        if (!all_at_least(values, n, 1))
            return bad_option(layer, o, s, "a positive int or a tuple of them", err);
        size->ndim = n;
        memcpy(size->dim, values, (size_t)n * sizeof *values);
    } else if (o->kind == BS_OPT_PAIR) {
        if (n > 2 || !all_at_least(values, n, 1))
            return bad_option(layer, o, s, "a positive int or a pair of them", err);
        ((int64_t *)place)[0] = values[0];
        ((int64_t *)place)[1] = values[n - 1];
    } else {
        const int64_t least = o->kind == BS_OPT_PADDING ? 0 : 1;
        if (s->kind != BS_NUMBER || n != 1 || values[0] < least)
            return bad_option(layer, o, s, least ? "a positive int" : "an int of 0 or more", err);
        *(int64_t *)place = values[0];
    }
    return BS_OK;
}

static bs_status set_word(const bs_layer *layer, const bs_option *o, const bs_setting *s,
                          int *place, bs_error *err)
{
    const char *choices = o->kind == BS_OPT_ACTIVATION ? "linear rel tanh sigmoid el" : o->choices;
    const int found = s->kind == BS_TEXT ? find_choice(choices, s->text) : -1;
    if (found < 0) {
        char wanted[80];
        snprintf(wanted, sizeof wanted, "one of: %s", choices);
        return bad_option(layer, o, s, wanted, err);
    }
    *place = found;
    return BS_OK;
}

static bs_status set_option(bs_layer *layer, const bs_option *o, const bs_setting *s, bs_error *err)
{
    char *place = (char *)layer->state + o->offset;
    switch (o->kind) {
    case BS_OPT_ACTIVATION:
    case BS_OPT_CHOICE: return set_word(layer, o, s, (int *)(void *)place, err);
    case BS_OPT_NUMBER:
        if (s->kind != BS_NUMBER || !isfinite(s->number))
            return bad_option(layer, o, s, "a finite number", err);
        *(double *)(void *)place = s->number;
        return BS_OK;
    case BS_OPT_SHAPES:
        if (s->kind != BS_SHAPES)
            return bad_option(layer, o, s, "a dict of name: shape", err);
        *(bs_shapes_option *)(void *)place = (bs_shapes_option){s->n, s->shapes};
        return BS_OK;
    case BS_OPT_POINTER: *(void **)(void *)place = s->pointer; return BS_OK;
    default: return set_sizes(layer, o, s, place, err);
    }
}

/* Turns the default of an option into a setting. */
static bs_setting standard_setting(const bs_option *o)
{
    bs_setting s = {.name = o->name, .kind = BS_TEXT, .text = o->standard};
    char *rest;
    if (strcmp(o->standard, "none") == 0) {
        s.kind = BS_NONE;
    } else if (o->kind != BS_OPT_ACTIVATION && o->kind != BS_OPT_CHOICE) {
        s.kind = BS_NUMBER;
        s.number = strtod(o->standard, &rest);
        s.is_integer = s.number == floor(s.number);
        if (o->kind == BS_OPT_PAIR) {
            s.kind = BS_SIZES;
            s.n = 2;
            s.sizes[0] = (int64_t)s.number;
            s.sizes[1] = strtoll(rest, NULL, 10);
        }
    }
    return s;
}

static bs_status set_options(bs_layer *layer, int n, const bs_setting *settings, bs_error *err)
{
    const bs_option none = {0}, *options = layer->type->options ? layer->type->options : &none;
    for (int i = 0; i < n; i++) {
        const bs_option *o = options;
        while (o->name && strcmp(o->name, settings[i].name) != 0)
            o++;
        if (!o->name)
            return bs_layer_fail(layer, err, "unknown argument '%s'", settings[i].name);
    }
    for (const bs_option *o = options; o->name; o++) {
        const bs_setting *given = NULL;
        for (int i = 0; i < n && !given; i++)
            given = strcmp(settings[i].name, o->name) == 0 ? &settings[i] : NULL;
        if (!given && !o->standard)
            return bs_layer_fail(layer, err, "argument '%s' is missing", o->name);
        const bs_setting standard = given ? *given : standard_setting(o);
        BS_TRY(set_option(layer, o, &standard, err));
    }
    return BS_OK;
}

/* ---- ports ---- */

static bs_status copy_any_inputs(bs_layer *layer, int n, const bs_buffer *inputs, bs_error *err)
{
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
            return bs_layer_fail(layer, err, "input '%s' has shape %s, expected (%s)", port->name,
                                 text, port->pattern);
        }
        layer->in.buffer[layer->in.n++] = (bs_buffer){port->name, inputs[i].shape, port->flags};
        return BS_OK;
    }
    return bs_layer_fail(layer, err, "input '%s' is not connected", port->name);
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
        for (int p = 0; p < n_ports; p++)
            known |= strcmp(ports[p].name, inputs[i].name) == 0;
        if (!known)
            return bs_layer_fail(layer, err, "there is no input '%s'", inputs[i].name);
    }
    for (int p = 0; p < n_ports; p++)
        BS_TRY(match_port(layer, &ports[p], n, inputs, err));
    return BS_OK;
}

/* ---- declarations ---- */

static bs_status declare(bs_layer *layer, bs_buffers_declared *list, const char *what,
                         const char *name, bs_shape shape, unsigned flags, bs_error *err)
{
    const int most = shape.scale == BS_FIXED ? BS_MAX_NDIM : BS_MAX_FEATURES;
    if (shape.ndim > most)
        return bs_layer_fail(layer, err,
                             "%s '%s' has %d feature dimensions, at most %d are possible", what,
                             name, shape.ndim, most);
    if (shape.ndim && !all_at_least(shape.dim, shape.ndim, 1)) {
        char text[120];
        bs_shape_text(text, sizeof text, &shape);
        return bs_layer_fail(layer, err, "%s '%s' would have shape %s, sizes must be positive",
                             what, name, text);
    }
    int64_t size = 8; /* bytes of one element, at most */
    for (int i = 0; i < shape.ndim; i++)
        if (__builtin_mul_overflow(size, shape.dim[i], &size) || size > INT64_MAX / 4)
            return bs_layer_fail(layer, err, "%s '%s' is too large for any memory", what, name);
    if (bs_find_buffer(list, name) >= 0)
        return bs_layer_fail(layer, err, "there are two %ss called '%s'", what, name);
    if (!list->buffer)
        BS_TRY(BS_ARENA_NEW(layer->arena, &list->buffer, BS_MAX_BUFFERS, "the buffers of a layer",
                            err));
    if (list->n == BS_MAX_BUFFERS)
        return bs_layer_fail(layer, err, "more than %d %ss", BS_MAX_BUFFERS, what);
    char *copy = bs_arena_text(layer->arena, name);
    if (!copy)
        return bs_fail(err, BS_NO_MEMORY, "no memory for the %s '%s'", what, name);
    list->buffer[list->n++] = (bs_buffer){copy, shape, flags};
    return BS_OK;
}

bs_status bs_add_output(bs_layer *layer, const char *name, bs_shape shape, bs_error *err)
{
    return declare(layer, &layer->out, "output", name, shape, 0, err);
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

bs_status bs_window_output(const bs_layer *layer, const bs_shape *in, const bs_window *window,
                           int64_t channels, bs_shape *out, bs_error *err)
{
    const int64_t most = INT64_MAX / 4;
    const int64_t height = window->padding > most ? -1
                                                  : in->dim[0] + 2 * window->padding - window->rows;
    const int64_t width = window->padding > most ? -1
                                                 : in->dim[1] + 2 * window->padding - window->cols;
    if (height < 0 || width < 0)
        return bs_layer_fail(
            layer, err,
            "a window of (%lld, %lld) does not fit on images of (%lld, %lld) with padding %lld",
            (long long)window->rows, (long long)window->cols, (long long)in->dim[0],
            (long long)in->dim[1], (long long)window->padding);
    *out = *in;
    out->dim[0] = height / window->stride_rows + 1;
    out->dim[1] = width / window->stride_cols + 1;
    out->dim[2] = channels;
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
    BS_TRY_DONE(set_options(out, n_settings, settings, err));
    BS_TRY_DONE(set_inputs(out, n_inputs, inputs, err));
    BS_TRY_DONE(type->setup(out, out->state, err));
done:
    if (status != BS_OK && status != BS_CALLBACK)
        bs_error_prefix(err, "layer '%s'", name);
    return status;
}
