/* options.h - the arguments of a layer: what its type declares (bs_option) and what a user gives
 * (bs_setting). */
#ifndef BS_LAYERS_OPTIONS_H
#define BS_LAYERS_OPTIONS_H

#include "array/shape.h"

typedef enum bs_option_kind {
    BS_OPT_SIZE,       /* bs_size_option: one int or several; "none" if not given */
    BS_OPT_INT,        /* int64_t > 0 */
    BS_OPT_PADDING,    /* int64_t >= 0 */
    BS_OPT_PAIR,       /* int64_t[2], both > 0; one int stands for both */
    BS_OPT_NUMBER,     /* double, finite */
    BS_OPT_ACTIVATION, /* int: a bs_activation */
    BS_OPT_CHOICE,     /* int: position in `choices` */
    BS_OPT_SHAPES,     /* bs_shapes_option */
    BS_OPT_POINTER     /* void *, borrowed; not for users */
} bs_option_kind;

typedef struct bs_option {
    const char *name;
    bs_option_kind kind;
    size_t offset;        /* of the value in the layer's state */
    const char *standard; /* the default as text, "1 1" for pairs; NULL: must be given */
    const char *choices;  /* of BS_OPT_CHOICE: "max avg" */
} bs_option;

typedef struct bs_size_option {
    int ndim; /* 0: not given */
    int64_t dim[BS_MAX_NDIM];
} bs_size_option;

typedef struct bs_named_shape {
    const char *name;
    bs_shape shape;
} bs_named_shape;

typedef struct bs_shapes_option {
    int n;
    const bs_named_shape *shapes;
} bs_shapes_option;

/* One keyword argument as it comes from outside. */
typedef enum bs_setting_kind {
    BS_NONE,
    BS_NUMBER,
    BS_TEXT,
    BS_SIZES,
    BS_SHAPES,
    BS_POINTER
} bs_setting_kind;
typedef struct bs_setting {
    const char *name;
    bs_setting_kind kind;
    int n;            /* BS_SIZES, BS_SHAPES */
    double number;    /* BS_NUMBER */
    int is_integer;   /* the number came as an integer */
    const char *text; /* BS_TEXT */
    int64_t sizes[BS_MAX_NDIM];
    const bs_named_shape *shapes;
    void *pointer;
    const char *shown; /* how messages show it; NULL: by kind */
} bs_setting;

/* Fills a layer's state: every option from its setting, or from its default. `options` ends with a
 * name of NULL (or is NULL). BS_LAYER: an unknown or missing argument, or a value that does not
 * fit. Shapes and pointers stay borrowed. */
bs_status bs_options_set(void *state, const bs_option *options, int n, const bs_setting *settings,
                         bs_error *err);

#endif
