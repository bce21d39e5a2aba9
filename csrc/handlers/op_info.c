/* op_info.c - the rows of ops.def as data, and the call of any operation with a list of values. */
#include "handlers/op_info.h"

#include <string.h>

#include "handlers/check.h"

/* ---- the two orders of the arguments ---- */

static int is_padding(const bs_arg_info *arg)
{
    return strcmp(arg->name, "padding") == 0;
}

static int is_window(const bs_arg_info *arg)
{
    return strcmp(arg->name, "window") == 0;
}

bs_operands bs_operands_of(const bs_op_info *op, const bs_value *values)
{
    bs_operands out = {.window = {0}};
    bs_window *w = &out.window;
    int arrays = 0, numbers = 0, integers = 0;
    for (int k = 0; k < op->n_args; k++) {
        const bs_value *value = &values[k];
        switch (op->args[k].kind) {
        case BS_ARG_IN:
        case BS_ARG_OUT:
        case BS_ARG_INOUT: out.array[arrays++] = &value->array; break;
        case BS_ARG_NUMBER: out.number[numbers++] = value->number; break;
        case BS_ARG_PAIR:
            if (is_window(&op->args[k]))
                w->rows = value->pair[0], w->cols = value->pair[1];
            else
                w->stride_rows = value->pair[0], w->stride_cols = value->pair[1];
            break;
        case BS_ARG_INT:
        case BS_ARG_FLAG:
        case BS_ARG_AXIS:
        case BS_ARG_ACTIVATION:
            if (is_padding(&op->args[k]))
                w->padding = value->integer;
            else
                out.integer[integers++] = (int)value->integer;
        }
    }
    return out;
}

void bs_values_of(bs_value *values, const bs_op_info *op, const bs_operands *operands)
{
    const bs_window *w = &operands->window;
    int arrays = 0, numbers = 0, integers = 0;
    for (int k = 0; k < op->n_args; k++) {
        bs_value *value = &values[k];
        switch (op->args[k].kind) {
        case BS_ARG_IN:
        case BS_ARG_OUT:
        case BS_ARG_INOUT: value->array = *operands->array[arrays++]; break;
        case BS_ARG_NUMBER: value->number = operands->number[numbers++]; break;
        case BS_ARG_PAIR:
            value->pair[0] = is_window(&op->args[k]) ? w->rows : w->stride_rows;
            value->pair[1] = is_window(&op->args[k]) ? w->cols : w->stride_cols;
            break;
        case BS_ARG_INT:
        case BS_ARG_FLAG:
        case BS_ARG_AXIS:
        case BS_ARG_ACTIVATION:
            value->integer = is_padding(&op->args[k]) ? w->padding : operands->integer[integers++];
        }
    }
}

/* ---- calling ---- */

#define ARRAYS_2        x.array[0], x.array[1]
#define ARRAYS_3        ARRAYS_2, x.array[2]
#define ARRAYS_4        ARRAYS_3, x.array[3]
#define CALL_AA(f)      f(h, ARRAYS_2)
#define CALL_AAA(f)     f(h, ARRAYS_3)
#define CALL_AAAA(f)    f(h, ARRAYS_4)
#define CALL_AS(f)      f(h, x.array[0], x.number[0])
#define CALL_ASA(f)     f(h, x.array[0], x.number[0], x.array[1])
#define CALL_ASSA(f)    f(h, x.array[0], x.number[0], x.number[1], x.array[1])
#define CALL_SAA(f)     f(h, x.number[0], ARRAYS_2)
#define CALL_SAAA(f)    f(h, x.number[0], ARRAYS_3)
#define CALL_SSA(f)     f(h, x.number[0], x.number[1], x.array[0])
#define CALL_SSAAA(f)   f(h, x.number[0], x.number[1], ARRAYS_3)
#define CALL_SSA5II(f)  f(h, x.number[0], x.number[1], ARRAYS_5, x.integer[0], x.integer[1])
#define CALL_AIA(f)     f(h, x.array[0], x.integer[0], x.array[1])
#define CALL_AAAII(f)   f(h, ARRAYS_3, x.integer[0], x.integer[1])
#define CALL_AAAAI(f)   f(h, ARRAYS_4, x.integer[0])
#define CALL_AAW(f)     f(h, ARRAYS_2, &x.window)
#define CALL_AAAW(f)    f(h, ARRAYS_3, &x.window)
#define CALL_AAAAW(f)   f(h, ARRAYS_4, &x.window)
#define CALL_AAAAAW(f)  f(h, ARRAYS_4, x.array[4], &x.window)
#define CALL_AAAAAAW(f) f(h, ARRAYS_4, x.array[4], x.array[5], &x.window)
#define CALL_A4IW(f)    f(h, ARRAYS_4, x.integer[0], &x.window)
#define CALL_A7IW(f)    f(h, ARRAYS_4, x.array[4], x.array[5], x.array[6], x.integer[0], &x.window)
#define NUMBERS_3       x.number[0], x.number[1], x.number[2]
#define CALL_S3A4(f)    f(h, NUMBERS_3, ARRAYS_4)
#define CALL_S4A4(f)    f(h, NUMBERS_3, x.number[3], ARRAYS_4)
#define CALL_S6A4(f)    f(h, NUMBERS_3, x.number[3], x.number[4], x.number[5], ARRAYS_4)
#define ARRAYS_5        ARRAYS_4, x.array[4]
#define ARRAYS_7        ARRAYS_5, x.array[5], x.array[6]
#define ARRAYS_9        ARRAYS_7, x.array[7], x.array[8]
#define ARRAYS_10       ARRAYS_9, x.array[9]
#define ARRAYS_11       ARRAYS_10, x.array[10]
#define ARRAYS_12       ARRAYS_11, x.array[11]
#define CALL_A5I(f)     f(h, ARRAYS_5, x.integer[0])
#define CALL_A7I(f)     f(h, ARRAYS_7, x.integer[0])
#define CALL_A9I(f)     f(h, ARRAYS_9, x.integer[0])
#define CALL_A10I(f)    f(h, ARRAYS_10, x.integer[0])
#define CALL_A11I(f)    f(h, ARRAYS_11, x.integer[0])
#define CALL_A12I(f)    f(h, ARRAYS_12, x.integer[0])

#define BS_OP(op, need, rule, signature, arguments, formula)                                       \
    static void call_##op(bs_handler *h, const bs_value *values)                                   \
    {                                                                                              \
        const bs_operands x = bs_operands_of(&bs_op_infos[BS_OP_##op], values);                    \
        CALL_##signature(bs_##op);                                                                 \
    }
#include "handlers/ops.def"

/* ---- the table ---- */

#define REQUIRED      1
#define OPTIONAL      0
#define IN(arg)       {#arg, BS_ARG_IN, 0},
#define OUT(arg)      {#arg, BS_ARG_OUT, 0},
#define INOUT(arg)    {#arg, BS_ARG_INOUT, 0},
#define IN_IF(arg)    {#arg, BS_ARG_IN, 1},
#define INOUT_IF(arg) {#arg, BS_ARG_INOUT, 1},
#define NUM(arg)      {#arg, BS_ARG_NUMBER, 0},
#define INT(arg)      {#arg, BS_ARG_INT, 0},
#define FLAG(arg)     {#arg, BS_ARG_FLAG, 0},
#define AXIS(arg)     {#arg, BS_ARG_AXIS, 0},
#define PAIR(arg)     {#arg, BS_ARG_PAIR, 0},
#define ACT(arg)      {#arg, BS_ARG_ACTIVATION, 0},

const bs_op_info bs_op_infos[] = {
#define BS_OP(op, need, rule, signature, arguments, formula_text)                                  \
    {.name = #op,                                                                                  \
     .formula = formula_text,                                                                      \
     .required = need,                                                                             \
     .args = {arguments},                                                                          \
     .n_args = (int)(sizeof((bs_arg_info[]){arguments}) / sizeof(bs_arg_info)),                    \
     .check = bs_check_##rule,                                                                     \
     .call = call_##op},
#include "handlers/ops.def"
};

const int bs_n_ops = BS_N_OPS;
