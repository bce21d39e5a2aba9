/* op_info.c - the rows of ops.def as data, and the call of any operation with a list of values. */
#include "handlers/op_info.h"

#include <string.h>

#include "handlers/check.h"

/* ---- calling: values in the order of the arguments, sorted as the C signatures take them ---- */

typedef struct sorted_values {
    const bs_array *a[BS_MAX_ARGS];
    double s[2];
    int i[2];
    bs_window w;
} sorted_values;

static void sort_image_value(bs_window *w, const char *name, const bs_value *value)
{
    if (strcmp(name, "padding") == 0)
        w->padding = value->integer;
    else if (strcmp(name, "window") == 0)
        w->rows = value->pair[0], w->cols = value->pair[1];
    else
        w->stride_rows = value->pair[0], w->stride_cols = value->pair[1];
}

static sorted_values sort(const bs_op_info *op, const bs_value *values)
{
    sorted_values out = {.w = {0}};
    int a = 0, s = 0, i = 0;
    for (int k = 0; k < op->n_args; k++) {
        switch (op->args[k].kind) {
        case BS_ARG_IN:
        case BS_ARG_OUT:
        case BS_ARG_INOUT: out.a[a++] = &values[k].array; break;
        case BS_ARG_NUMBER: out.s[s++] = values[k].number; break;
        case BS_ARG_PAIR: sort_image_value(&out.w, op->args[k].name, &values[k]); break;
        case BS_ARG_INT:
            if (strcmp(op->args[k].name, "padding") == 0) {
                sort_image_value(&out.w, op->args[k].name, &values[k]);
                break;
            }
            out.i[i++] = (int)values[k].integer;
            break;
        case BS_ARG_FLAG:
        case BS_ARG_AXIS:
        case BS_ARG_ACTIVATION: out.i[i++] = (int)values[k].integer; break;
        }
    }
    return out;
}

#define ARRAYS_2        x.a[0], x.a[1]
#define ARRAYS_3        ARRAYS_2, x.a[2]
#define ARRAYS_4        ARRAYS_3, x.a[3]
#define CALL_AA(f)      f(h, ARRAYS_2)
#define CALL_AAA(f)     f(h, ARRAYS_3)
#define CALL_AAAA(f)    f(h, ARRAYS_4)
#define CALL_AS(f)      f(h, x.a[0], x.s[0])
#define CALL_ASA(f)     f(h, x.a[0], x.s[0], x.a[1])
#define CALL_ASSA(f)    f(h, x.a[0], x.s[0], x.s[1], x.a[1])
#define CALL_SAA(f)     f(h, x.s[0], ARRAYS_2)
#define CALL_SAAA(f)    f(h, x.s[0], ARRAYS_3)
#define CALL_SSA(f)     f(h, x.s[0], x.s[1], x.a[0])
#define CALL_SSAAA(f)   f(h, x.s[0], x.s[1], ARRAYS_3)
#define CALL_AIA(f)     f(h, x.a[0], x.i[0], x.a[1])
#define CALL_AAAII(f)   f(h, ARRAYS_3, x.i[0], x.i[1])
#define CALL_AAAAI(f)   f(h, ARRAYS_4, x.i[0])
#define CALL_AAW(f)     f(h, ARRAYS_2, &x.w)
#define CALL_AAAW(f)    f(h, ARRAYS_3, &x.w)
#define CALL_AAAAW(f)   f(h, ARRAYS_4, &x.w)
#define CALL_AAAAAW(f)  f(h, ARRAYS_4, x.a[4], &x.w)
#define CALL_AAAAAAW(f) f(h, ARRAYS_4, x.a[4], x.a[5], &x.w)
#define ARRAYS_5        ARRAYS_4, x.a[4]
#define ARRAYS_7        ARRAYS_5, x.a[5], x.a[6]
#define ARRAYS_9        ARRAYS_7, x.a[7], x.a[8]
#define ARRAYS_11       ARRAYS_9, x.a[9], x.a[10]
#define CALL_A5I(f)     f(h, ARRAYS_5, x.i[0])
#define CALL_A7I(f)     f(h, ARRAYS_7, x.i[0])
#define CALL_A9I(f)     f(h, ARRAYS_9, x.i[0])
#define CALL_A11I(f)    f(h, ARRAYS_11, x.i[0])

#define BS_OP(op, need, rule, signature, arguments, formula)                                       \
    static void call_##op(bs_handler *h, const bs_value *values)                                   \
    {                                                                                              \
        const sorted_values x = sort(&bs_op_infos[BS_OP_##op], values);                            \
        CALL_##signature(bs_##op);                                                                 \
    }
#include "handlers/ops.def"

/* ---- the table ---- */

#define REQUIRED   1
#define OPTIONAL   0
#define IN(arg)    {#arg, BS_ARG_IN},
#define OUT(arg)   {#arg, BS_ARG_OUT},
#define INOUT(arg) {#arg, BS_ARG_INOUT},
#define NUM(arg)   {#arg, BS_ARG_NUMBER},
#define INT(arg)   {#arg, BS_ARG_INT},
#define FLAG(arg)  {#arg, BS_ARG_FLAG},
#define AXIS(arg)  {#arg, BS_ARG_AXIS},
#define PAIR(arg)  {#arg, BS_ARG_PAIR},
#define ACT(arg)   {#arg, BS_ARG_ACTIVATION},

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
