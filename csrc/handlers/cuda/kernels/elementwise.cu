/* elementwise.cu - the result at a place depends on the operands at that place only. Arrays and
 * numbers are those of the operation, in its order. */
#define A AT(0, row, col)
#define B AT(1, row, col)
#define C AT(2, row, col)
#define D AT(3, row, col)

/* memory */
AT_EACH_PLACE(copy_to, B = A)
AT_EACH_PLACE(fill, A = NUMBER(0))
AT_EACH_PLACE(copy_to_if, if (C != 0) B = A)
AT_EACH_PLACE(add_into_if, if (C != 0) B += A)
AT_EACH_PLACE(fill_if, if (B != 0) A = NUMBER(0))

/* of one array */
DEVICE real sign_of(real x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x; /* NaN stays */
}

DEVICE real clip(real x, real low, real high)
{
    const real y = x < low ? low : x;
    return y > high ? high : y;
}

AT_EACH_PLACE(abs_t, B = FN(fabs)(A))
AT_EACH_PLACE(sign_t, B = sign_of(A))
AT_EACH_PLACE(sqrt_t, B = FN(sqrt)(A))
AT_EACH_PLACE(log_t, B = FN(log)(A))
AT_EACH_PLACE(clip_t, B = clip(A, NUMBER(0), NUMBER(1)))

/* of two arrays */
AT_EACH_PLACE(add_tt, C = A + B)
AT_EACH_PLACE(subtract_tt, C = A - B)
AT_EACH_PLACE(mult_tt, C = A * B)
AT_EACH_PLACE(mult_add_tt, C += A * B)
AT_EACH_PLACE(divide_tt, C = A / B)
AT_EACH_PLACE(modulo_tt, C = FN(fmod)(A, B))

/* of a scalar and an array */
AT_EACH_PLACE(add_st, B = NUMBER(0) + A)
AT_EACH_PLACE(mult_st, B = NUMBER(0) * A)
AT_EACH_PLACE(mult_add_st, B += NUMBER(0) * A)

/* activations and their derivatives; the arrays of the latter are x, y, dy, dx */
AT_EACH_PLACE(rel, B = activate(REL, A))
AT_EACH_PLACE(tanh, B = activate(TANH, A))
AT_EACH_PLACE(sigmoid, B = activate(SIGMOID, A))
AT_EACH_PLACE(el, B = activate(EL, A))
AT_EACH_PLACE(rel_deriv, D = B > 0 ? C : slope(REL, B))
AT_EACH_PLACE(tanh_deriv, D = C * slope(TANH, B))
AT_EACH_PLACE(sigmoid_deriv, D = C * B * (1 - B))
AT_EACH_PLACE(el_deriv, D = C * slope(EL, B))

/* y = x * mask / (1 - drop_prob); arrays: x, mask, y; number 0: the factor */
AT_EACH_PLACE(drop, C = A * B * NUMBER(0))
