/* options.c - from settings, as they come from outside, to values in a layer's state. */
#include "layers/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/activation.h"

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
    if (s->shown)
        snprintf(text, size, "%s", s->shown);
    else if (s->kind == BS_NUMBER)
        snprintf(text, size, "%.12g", s->number);
    else if (s->kind == BS_TEXT)
        snprintf(text, size, "'%s'", s->text);
    else if (s->kind == BS_SIZES)
        bs_dims_text(text, size, s->n, s->sizes);
    else
        snprintf(text, size, "%s", s->kind == BS_NONE ? "None" : "a value of another kind");
    return text;
}

static bs_status bad_option(const bs_option *o, const bs_setting *s, const char *wanted,
                            bs_error *err)
{
    char text[120];
    return bs_fail(err, BS_LAYER, "%s must be %s, got %s", o->name, wanted,
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

static bs_status set_sizes(const bs_option *o, const bs_setting *s, void *place, bs_error *err)
{
    int64_t values[BS_MAX_NDIM];
    const int n = whole_numbers(s, values);
    if (o->kind == BS_OPT_SIZE) {
        bs_size_option *size = place;
        if (s->kind == BS_NONE && o->standard)
            return BS_OK;
        if (!all_at_least(values, n, 1))
            return bad_option(o, s, "a positive int or a tuple of them", err);
        size->ndim = n;
        memcpy(size->dim, values, (size_t)n * sizeof *values);
    } else if (o->kind == BS_OPT_PAIR) {
        if (n > 2 || !all_at_least(values, n, 1))
            return bad_option(o, s, "a positive int or a pair of them", err);
        ((int64_t *)place)[0] = values[0];
        ((int64_t *)place)[1] = values[n - 1];
    } else {
        const int64_t least = o->kind == BS_OPT_PADDING ? 0 : 1;
        if (s->kind != BS_NUMBER || n != 1 || values[0] < least)
            return bad_option(o, s, least ? "a positive int" : "an int of 0 or more", err);
        *(int64_t *)place = values[0];
    }
    return BS_OK;
}

/* The names of all activations as words. */
static void join_activations(char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < BS_N_ACTIVATIONS && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "",
                                 bs_activation_names[i]);
}

static bs_status set_word(const bs_option *o, const bs_setting *s, int *place, bs_error *err)
{
    char activations[64] = "";
    const char *choices = o->choices;
    if (o->kind == BS_OPT_ACTIVATION) {
        join_activations(activations, sizeof activations);
        choices = activations;
    }
    const int found = s->kind == BS_TEXT ? find_choice(choices, s->text) : -1;
    if (found < 0) {
        char wanted[80];
        snprintf(wanted, sizeof wanted, "one of: %s", choices);
        return bad_option(o, s, wanted, err);
    }
    *place = found;
    return BS_OK;
}

static bs_status set_option(void *state, const bs_option *o, const bs_setting *s, bs_error *err)
{
    char *place = (char *)state + o->offset;
    switch (o->kind) {
    case BS_OPT_ACTIVATION:
    case BS_OPT_CHOICE: return set_word(o, s, (int *)(void *)place, err);
    case BS_OPT_NUMBER:
        if (s->kind != BS_NUMBER || !isfinite(s->number))
            return bad_option(o, s, "a finite number", err);
        *(double *)(void *)place = s->number;
        return BS_OK;
    case BS_OPT_SHAPES:
        if (s->kind != BS_SHAPES)
            return bad_option(o, s, "a dict of name: shape", err);
        *(bs_shapes_option *)(void *)place = (bs_shapes_option){s->n, s->shapes};
        return BS_OK;
    case BS_OPT_POINTER: *(void **)(void *)place = s->pointer; return BS_OK;
    default: return set_sizes(o, s, place, err);
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

bs_status bs_options_set(void *state, const bs_option *options, int n, const bs_setting *settings,
                         bs_error *err)
{
    static const bs_option none = {0};
    if (!options)
        options = &none;
    for (int i = 0; i < n; i++) {
        const bs_option *o = options;
        while (o->name && strcmp(o->name, settings[i].name) != 0)
            o++;
        if (o->name)
            continue;
        bs_fail(err, BS_LAYER, "unknown argument '%s'; there are: %s", settings[i].name,
                options->name ? "" : "none");
        for (o = options; o->name; o++)
            bs_error_append(err, "%s%s", o == options ? "" : ", ", o->name);
        return BS_LAYER;
    }
    for (const bs_option *o = options; o->name; o++) {
        const bs_setting *given = NULL;
        for (int i = 0; i < n && !given; i++)
            given = strcmp(settings[i].name, o->name) == 0 ? &settings[i] : NULL;
        if (!given && !o->standard)
            return bs_fail(err, BS_LAYER, "argument '%s' is missing", o->name);
        const bs_setting standard = given ? *given : standard_setting(o);
        BS_TRY(set_option(state, o, &standard, err));
    }
    return BS_OK;
}
