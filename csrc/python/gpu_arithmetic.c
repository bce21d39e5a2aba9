/* gpu_arithmetic.c - arithmetic with GpuArrays: + - * / and ** with numbers and arrays of the same
 * shape, by operations of the device in its dtype. Results are new arrays; `a += b` and the like
 * change a. */
#include "python/gpu_array.h"
#include "python/numpy_api.h"

/* ---- operands ---- */

/* An operand as an array of the device of `like` that the engine can express, in its dtype. */
static gpu_array *operand(PyObject *value, const gpu_array *like)
{
    bs_array unused;
    const bs_dtype dtype = like->device->dtype;
    if (bs_is_gpu_array(value)) {
        const gpu_array *a = (gpu_array *)value;
        if (a->device->options.number == like->device->options.number && a->dtype == dtype &&
            bs_gpu_array_express(a, &unused))
            return (gpu_array *)Py_NewRef(value);
        return bs_gpu_array_packed(a, like->device, dtype);
    }
    gpu_array *out = bs_gpu_array_new(like->device, dtype, like->ndim, like->dim); /* broadcast */
    if (out && bs_gpu_array_set(out, value) < 0)
        Py_CLEAR(out);
    return out;
}

static int is_operand(PyObject *value)
{
    return bs_is_gpu_array(value) || PyArray_Check(value) ||
           (PyNumber_Check(value) && !PySequence_Check(value));
}

/* ---- running ---- */

typedef void binary(bs_handler *h, const bs_array *a, const bs_array *b, const bs_array *out);

/* out = a op b; all of them arrays of one device in its dtype that the engine can express. */
static int run(binary *op, const gpu_array *a, const gpu_array *b, const gpu_array *out)
{
    bs_array av, bv, ov;
    bs_handler h;
    if (bs_gpu_array_size(out) == 0)
        return 0;
    bs_gpu_array_express(a, &av);
    bs_gpu_array_express(b, &bv);
    bs_gpu_array_express(out, &ov);
    bs_handler_init(&h, out->device, NULL);
    op(&h, &av, &bv, &ov);
    bs_handler_close(&h);
    return h.error.code == BS_OK ? 0 : (bs_raise(&h.error), -1);
}

/* The result `out` of an operation, a reference that is taken over; `a += b` has it in `into`. */
static PyObject *deliver(gpu_array *out, gpu_array *into)
{
    if (out && into && into != out && bs_gpu_array_set(into, (PyObject *)out) < 0)
        Py_CLEAR(out);
    if (out && into)
        Py_SETREF(out, (gpu_array *)Py_NewRef((PyObject *)into));
    return (PyObject *)out;
}

/* left op right into a new array, or into `into`, which is `left`. */
static PyObject *calculate(PyObject *left, PyObject *right, binary *op, const char *name,
                           gpu_array *into)
{
    if (!is_operand(left) || !is_operand(right))
        Py_RETURN_NOTIMPLEMENTED;
    const gpu_array *like = (gpu_array *)(bs_is_gpu_array(left) ? left : right);
    if (into && bs_gpu_array_require_writable(into) < 0)
        return NULL;
    gpu_array *a = operand(left, like), *b = a ? operand(right, like) : NULL, *out = NULL;
    if (b && bs_gpu_array_require_shape(a, b, name) == 0)
        out = into && into == a && !bs_gpu_arrays_overlap(a, b)
                  ? (gpu_array *)Py_NewRef((PyObject *)a)
                  : bs_gpu_array_new(a->device, a->device->dtype, a->ndim, a->dim);
    if (out && run(op, a, b, out) < 0)
        Py_CLEAR(out);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return deliver(out, into);
}

#define BINARY(function, op, name)                                                                 \
    static PyObject *function(PyObject *left, PyObject *right)                                     \
    {                                                                                              \
        return calculate(left, right, op, name, NULL);                                             \
    }                                                                                              \
    static PyObject *function##_in_place(PyObject *left, PyObject *right)                          \
    {                                                                                              \
        return calculate(left, right, op, name, (gpu_array *)left);                                \
    }
BINARY(add, bs_add_tt, "+")
BINARY(subtract, bs_subtract_tt, "-")
BINARY(multiply, bs_mult_tt, "*")
BINARY(divide, bs_divide_tt, "/")

/* ---- powers and signs ---- */

static void negate(bs_handler *h, const bs_array *a, const bs_array *unused, const bs_array *out)
{
    (void)unused;
    bs_mult_st(h, -1.0, a, out);
}

static void absolute(bs_handler *h, const bs_array *a, const bs_array *unused, const bs_array *out)
{
    (void)unused;
    bs_abs_t(h, a, out);
}

static void square_root(bs_handler *h, const bs_array *a, const bs_array *unused,
                        const bs_array *out)
{
    (void)unused;
    bs_sqrt_t(h, a, out);
}

static PyObject *negative(PyObject *self)
{
    return calculate(self, self, negate, "-", NULL);
}

static PyObject *positive(PyObject *self)
{
    const gpu_array *a = (gpu_array *)self;
    return (PyObject *)bs_gpu_array_packed(a, a->device, a->dtype);
}

static PyObject *magnitude(PyObject *self)
{
    return calculate(self, self, absolute, "abs", NULL);
}

/* Powers that the device has no operation for, by NumPy. */
static gpu_array *power_on_host(const gpu_array *a, PyObject *exponent)
{
    PyObject *host = bs_gpu_array_get(a);
    PyObject *powers = host ? PyNumber_Power(host, exponent, Py_None) : NULL;
    gpu_array *out = powers ? bs_gpu_array_new(a->device, a->device->dtype, a->ndim, a->dim) : NULL;
    if (out && bs_gpu_array_set(out, powers) < 0)
        Py_CLEAR(out);
    Py_XDECREF(powers);
    Py_XDECREF(host);
    return out;
}

static PyObject *raise_to(PyObject *base, PyObject *exponent, PyObject *modulo, gpu_array *into)
{
    if (modulo != Py_None || !bs_is_gpu_array(base) || bs_is_gpu_array(exponent) ||
        PyArray_Check(exponent) || !is_operand(exponent))
        Py_RETURN_NOTIMPLEMENTED;
    const double e = PyFloat_AsDouble(exponent);
    if (e == -1.0 && PyErr_Occurred())
        return NULL;
    if (e == 0.5)
        return calculate(base, base, square_root, "**", into);
    if (e == 2.0)
        return calculate(base, base, bs_mult_tt, "**", into);
    return deliver(power_on_host((gpu_array *)base, exponent), into);
}

static PyObject *power(PyObject *base, PyObject *exponent, PyObject *modulo)
{
    return raise_to(base, exponent, modulo, NULL);
}

static PyObject *power_in_place(PyObject *base, PyObject *exponent, PyObject *modulo)
{
    return raise_to(base, exponent, modulo, (gpu_array *)base);
}

/* ---- one number ---- */

static PyObject *to_float(PyObject *self)
{
    PyObject *host = bs_gpu_array_get((gpu_array *)self);
    PyObject *item = host ? PyObject_CallMethod(host, "item", NULL) : NULL;
    PyObject *number = item ? PyNumber_Float(item) : NULL;
    Py_XDECREF(item);
    Py_XDECREF(host);
    return number;
}

static int truth(PyObject *self)
{
    PyObject *number = to_float(self); /* a ValueError for more than one element */
    const int result = number ? PyObject_IsTrue(number) : -1;
    Py_XDECREF(number);
    return result;
}

PyType_Slot bs_gpu_number_slots[] = {
    {Py_nb_add, add},
    {Py_nb_subtract, subtract},
    {Py_nb_multiply, multiply},
    {Py_nb_true_divide, divide},
    {Py_nb_inplace_add, add_in_place},
    {Py_nb_inplace_subtract, subtract_in_place},
    {Py_nb_inplace_multiply, multiply_in_place},
    {Py_nb_inplace_true_divide, divide_in_place},
    {Py_nb_power, power},
    {Py_nb_inplace_power, power_in_place},
    {Py_nb_negative, negative},
    {Py_nb_positive, positive},
    {Py_nb_absolute, magnitude},
    {Py_nb_float, to_float},
    {Py_nb_bool, truth},
    {0, NULL},
};
