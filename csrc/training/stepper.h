/* stepper.h - a training method: what happens to the parameters before and after the passes of one
 * update. */
#ifndef BS_TRAINING_STEPPER_H
#define BS_TRAINING_STEPPER_H

#include "network/network.h"

/* The settings that all training methods draw from; each type names those that it has. */
typedef struct bs_stepper_options {
    double learning_rate;
    double momentum;
    double scale_learning_rate; /* 0 or 1: multiply the learning rate by 1 - momentum */
    double decay, beta1, beta2; /* how much of an average stays at each update */
    double epsilon;             /* keeps quotients finite */
    double weight_decay;        /* see AdamStepper */
} bs_stepper_options;

typedef struct bs_stepper_option {
    const char *name;
    size_t offset;   /* in bs_stepper_options */
    double standard; /* default */
    int is_flag;     /* 0 or 1 only */
} bs_stepper_option;

enum { BS_MAX_STATES = 2 };

/* Flat vectors of the network, and the stepper's own of the same size, which start at zero. */
typedef struct bs_vectors {
    const bs_array *parameters, *gradients;
    const bs_array *state;     /* n_states of them */
    int64_t updates;           /* before this one, since start */
    const bs_network *network; /* borrowed */
} bs_vectors;

/* The learning rate, times 1 - momentum if it is to be scaled. */
double bs_scaled_rate(const bs_stepper_options *o);

/* Multiplies all parameters that have a gradient by the factor. */
void bs_scale_parameters(bs_handler *h, const bs_vectors *v, double factor);

/* The part of an update before or after the passes. */
typedef void bs_update_part(bs_handler *h, const bs_stepper_options *o, const bs_vectors *v);
/* The update that the backward pass may make of some parameters; `after` leaves these out
 * (bs_network_has_updated). */
typedef bs_early_update bs_update_during(const bs_stepper_options *o, const bs_vectors *v);

typedef struct bs_stepper_type {      /* a stepper's file ends in one const of this type */
    const char *name;                 /* "Momentum" */
    const bs_stepper_option *options; /* ends with a name of NULL */
    int n_states;
    bs_update_part *before;   /* may be NULL */
    bs_update_during *during; /* may be NULL */
    bs_update_part *after;
} bs_stepper_type;

typedef struct bs_stepper bs_stepper;

/* A stepper of the type called `type`, with default options. Owned: bs_stepper_close. BS_KEY: no
 * such type. */
bs_status bs_stepper_create(bs_stepper **out, const char *type, bs_error *err);
void bs_stepper_close(bs_stepper *stepper); /* NULL is allowed */

/* BS_KEY: the type has no such option; BS_VALUE: not finite, or neither 0 nor 1 for a flag. Options
 * may change at any time. */
bs_status bs_stepper_set(bs_stepper *stepper, const char *option, double value, bs_error *err);
bs_status bs_stepper_get(const bs_stepper *stepper, const char *option, double *value, int *is_flag,
                         bs_error *err);

/* Binds the stepper to a network, which must outlive it or its next start; its state vectors and
 * its count of updates are zero. */
bs_status bs_stepper_start(bs_stepper *stepper, bs_network *net, bs_error *err);

/* State vector number i (0: the velocity or what comes closest) and the block behind it, borrowed;
 * 0 before the first start, or if there is none. */
int bs_stepper_state(const bs_stepper *stepper, int i, bs_array *out, bs_block **block);

/* What the state vectors lie on, borrowed; NULL before the first start. */
bs_device *bs_stepper_device(const bs_stepper *stepper);

/* The count of updates since start, which may be set to go on where another stepper has stopped. */
int64_t bs_stepper_updates(bs_stepper *stepper);
void bs_stepper_set_updates(bs_stepper *stepper, int64_t updates);

/* One update: before, forward, backward, after. A device that works while the host goes on may not
 * be done with it yet. Where its data was wrong it changes no parameter, and the next call that
 * waits for the device fails: the next run, which is made all the same, or a function of the
 * network. Then it does not count any more. An update that fails in a pass changes no parameter
 * either, but see bs_network_backward.
 * BS_STATE before start, or when the network has changed its handler since. */
bs_status bs_stepper_run(bs_stepper *stepper, bs_error *err);

#endif
