/* vmath.h - exp, tanh, sigmoid and exp(x) - 1 without branches, so that loops over them become
 * vector code.
 *
 * exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2)/2, exp(r) by its Taylor polynomial (degree
 * 7 for float, 13 for double, error below 0.1 ulp). Rounding to n is done by adding and subtracting
 * a number so large that it has no fraction bits, whose low bits then hold n as an integer. 2^n is
 * multiplied in two steps, so that overflow gives infinity and underflow 0 (base/subnormal.h). NaN
 * comes out as NaN.
 *
 * Worst errors, in units in the last place, over all of float and many random double
 * (tests/test_vector_math.py): exp 2, sigmoid 3, tanh 3, exp(x) - 1 for x <= 0: 3. */
#ifndef BS_HANDLERS_CPU_VMATH_H
#define BS_HANDLERS_CPU_VMATH_H

#include "handlers/cpu/real.h"

#if BS_REAL_BITS == 32
#define MATHS_MAGIC    12582912.0f  /* 1.5 * 2^23 */
#define MATHS_LN2_HIGH 0.693145752f /* 16 bits, so that n times it is exact */
#define MATHS_LN2_LOW  1.42860677e-6f
enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127 };
static const real exp_low = -104.0f, exp_high = 89.0f; /* exp is 0 below and infinite above */
static const real expm1_low = -18.0f;                  /* exp(x) - 1 is -1 below */
#else
#define MATHS_MAGIC    6755399441055744.0 /* 1.5 * 2^52 */
#define MATHS_LN2_HIGH 0.69314718036912381649
#define MATHS_LN2_LOW  1.90821492927058770002e-10
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023 };
static const real exp_low = -746.0, exp_high = 710.0;
static const real expm1_low = -38.0;
#endif

static const real log2_e = REAL(1.44269504088896340736);

BS_INLINE real from_bits(real_bits bits)
{
    const union {
        real_bits bits;
        real x;
    } u = {.bits = bits};
    return u.x;
}

BS_INLINE real_bits to_bits(real x)
{
    const union {
        real x;
        real_bits bits;
    } u = {.x = x};
    return u.bits;
}

/* 2^n for an integer n in the range of normal exponents. */
BS_INLINE real power_of_2(real n)
{
    return from_bits((to_bits(n + MATHS_MAGIC) + EXPONENT_BIAS) << MANTISSA_BITS);
}

BS_INLINE real round_integer(real x)
{
    return (x + MATHS_MAGIC) - MATHS_MAGIC;
}

/* q(r) with exp(r) = 1 + r + r*r*q(r). */
BS_INLINE real exp_tail(real r)
{
#if BS_REAL_BITS == 32
    real q = REAL(1.0) / 5040;
#else
    real q = REAL(1.0) / 6227020800;
    q = q * r + REAL(1.0) / 479001600;
    q = q * r + REAL(1.0) / 39916800;
    q = q * r + REAL(1.0) / 3628800;
    q = q * r + REAL(1.0) / 362880;
    q = q * r + REAL(1.0) / 40320;
    q = q * r + REAL(1.0) / 5040;
#endif
    q = q * r + REAL(1.0) / 720;
    q = q * r + REAL(1.0) / 120;
    q = q * r + REAL(1.0) / 24;
    q = q * r + REAL(1.0) / 6;
    return q * r + REAL(0.5);
}

BS_INLINE real exp_reduce(real x, real *n) /* r, and n */
{
    *n = round_integer(x * log2_e);
    return (x - *n * MATHS_LN2_HIGH) - *n * MATHS_LN2_LOW;
}

BS_INLINE real vexp(real x)
{
    real n;
    x = x < exp_low ? exp_low : x;
    x = x > exp_high ? exp_high : x;
    const real r = exp_reduce(x, &n), half = round_integer(n * REAL(0.5));
    const real e = REAL(1.0) + (r + r * r * exp_tail(r));
    return e * power_of_2(half) * power_of_2(n - half);
}

/* exp(x) - 1 for x <= 0, without the loss of digits near 0. */
BS_INLINE real vexpm1(real x)
{
    real n;
    x = x < expm1_low ? expm1_low : x;
    const real r = exp_reduce(x, &n), scale = power_of_2(n);
    return (scale - REAL(1.0)) + scale * (r + r * r * exp_tail(r));
}

BS_INLINE real vsigmoid(real x)
{
    const real e = vexp(-REAL_FN(fabs)(x)), y = REAL(1.0) / (REAL(1.0) + e);
    return x >= 0 ? y : e * y;
}

BS_INLINE real vtanh(real x)
{
    const real t = vexpm1(REAL(-2.0) * REAL_FN(fabs)(x));
    return REAL_FN(copysign)(t / (REAL(2.0) + t), x);
}

BS_INLINE real vel(real x)
{
    const real y = vexpm1(x > 0 ? REAL(0.0) : x);
    return x > 0 ? x : y;
}

#endif
