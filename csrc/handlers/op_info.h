/* op_info.h - operations as data: for the Python methods, the debug wrapper, and whatever else goes
 * over the whole list. */
#ifndef BS_HANDLERS_OP_INFO_H
#define BS_HANDLERS_OP_INFO_H

#include "handlers/handler.h"

typedef enum bs_arg_kind {
    BS_ARG_IN,        /* array, read */
    BS_ARG_OUT,       /* array, set; what it held does not matter */
    BS_ARG_INOUT,     /* array, read and changed */
    BS_ARG_NUMBER,    /* double */
    BS_ARG_INT,       /* int */
    BS_ARG_FLAG,      /* 0 or 1, default 0 */
    BS_ARG_AXIS,      /* int or None, which is BS_ALL_AXES */
    BS_ARG_PAIR,      /* two ints: rows, columns */
    BS_ARG_ACTIVATION /* a bs_activation */
} bs_arg_kind;

typedef struct bs_arg_info {
    const char *name;
    bs_arg_kind kind;
    int may_be_missing; /* without memory (data NULL) it is left out, whatever its shape */
} bs_arg_info;

static inline int bs_arg_is_array(const bs_arg_info *arg)
{
    return arg->kind <= BS_ARG_INOUT;
}

static inline int bs_arg_is_output(const bs_arg_info *arg)
{
    return arg->kind == BS_ARG_OUT || arg->kind == BS_ARG_INOUT;
}

static inline int bs_arg_is_left_out(const bs_arg_info *arg, const bs_array *a)
{
    return arg->may_be_missing && !a->data;
}

enum { BS_MAX_ARGS = 13 };

/* One value per argument, in the order of bs_op_info.args. */
typedef union bs_value {
    bs_array array;
    double number;
    int64_t integer; /* BS_ARG_INT, FLAG, AXIS, ACTIVATION */
    int64_t pair[2];
} bs_value;

/* The same, in the order of the C signatures. */
typedef struct bs_operands {
    const bs_array *array[BS_MAX_ARGS];
    double number[6];
    int integer[2];
    bs_window window;
} bs_operands;

typedef struct bs_op_info {
    const char *name, *formula;
    int required;
    int n_args;
    bs_arg_info args[BS_MAX_ARGS];
    /* The rule of its row: BS_OK, or BS_VALUE / BS_TYPE naming the argument, its shape and what was
     * expected. */
    bs_status (*check)(const struct bs_op_info *op, const bs_value *values, bs_error *err);
    /* Calls the forwarder; the values must have passed the check. */
    void (*call)(bs_handler *h, const bs_value *values);
} bs_op_info;

extern const bs_op_info bs_op_infos[]; /* in the order of ops.def */
extern const int bs_n_ops;

/* Positions in bs_op_infos: BS_OP_add_tt and so on. */
typedef enum bs_op_id {
#define BS_OP(name, need, rule, signature, arguments, formula) BS_OP_##name,
#include "handlers/ops.def"
    BS_N_OPS
} bs_op_id;

/* One order from the other. The operands point into the values, the values hold copies. */
bs_operands bs_operands_of(const bs_op_info *op, const bs_value *values);
void bs_values_of(bs_value *values, const bs_op_info *op, const bs_operands *operands);

/* The rule of the row, and: no output overlaps another array, unless it is the very same view and
 * the operation works in place (rule `same`, `mv` and `mv_full`). */
bs_status bs_op_check(const bs_op_info *op, const bs_value *values, bs_error *err);

#endif
