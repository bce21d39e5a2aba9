/* steppers.cu - updates of parameters, each in one pass over flat vectors. Arrays and numbers are
 * those of the operation, in its order. */
#define VECTOR(k) AT(k, row, col)

AT_EACH_PLACE(sgd_step, {
    const real update = -NUMBER(0) * VECTOR(0);
    VECTOR(1) = update;
    VECTOR(2) += update;
})

AT_EACH_PLACE(momentum_step, {
    const real v = NUMBER(1) * VECTOR(1) - NUMBER(0) * VECTOR(0);
    VECTOR(1) = v;
    VECTOR(2) += v;
})

AT_EACH_PLACE(rmsprop_step, {
    const real rate = NUMBER(0), decay = NUMBER(1), epsilon = NUMBER(2), momentum = NUMBER(3);
    const real g = VECTOR(0), s = decay * VECTOR(1) + (1 - decay) * g * g;
    const real v = momentum * VECTOR(2) - rate * g / (FN(sqrt)(s) + epsilon);
    VECTOR(1) = s;
    VECTOR(2) = v;
    VECTOR(3) += v;
})

AT_EACH_PLACE(adam_step, {
    const real rate = NUMBER(0), beta1 = NUMBER(1), beta2 = NUMBER(2), epsilon = NUMBER(3);
    const real g = VECTOR(0), m = beta1 * VECTOR(1) + (1 - beta1) * g,
               v = beta2 * VECTOR(2) + (1 - beta2) * g * g;
    VECTOR(1) = m;
    VECTOR(2) = v;
    VECTOR(3) -= rate * (m / NUMBER(4)) / (FN(sqrt)(v / NUMBER(5)) + epsilon);
})

AT_EACH_PLACE(adagrad_step, {
    const real g = VECTOR(0), s = VECTOR(1) + g * g;
    VECTOR(1) = s;
    VECTOR(2) -= NUMBER(0) * g / (FN(sqrt)(s) + NUMBER(1));
})

AT_EACH_PLACE(adadelta_step, {
    const real rate = NUMBER(0), decay = NUMBER(1), epsilon = NUMBER(2);
    const real g = VECTOR(0), s = decay * VECTOR(1) + (1 - decay) * g * g;
    const real u = FN(sqrt)(VECTOR(2) + epsilon) / FN(sqrt)(s + epsilon) * g;
    VECTOR(1) = s;
    VECTOR(2) = decay * VECTOR(2) + (1 - decay) * u * u;
    VECTOR(3) -= rate * u;
})
