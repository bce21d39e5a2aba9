/* activation.h - the activation functions that layers offer, by name. */
#ifndef BS_HANDLERS_ACTIVATION_H
#define BS_HANDLERS_ACTIVATION_H

/* The order is that of bs_activation_names. */
typedef enum bs_activation {
    BS_LINEAR,
    BS_REL,
    BS_TANH,
    BS_SIGMOID,
    BS_EL,
    BS_N_ACTIVATIONS
} bs_activation;

/* "linear", "rel", "tanh", "sigmoid", "el" */
extern const char *const bs_activation_names[BS_N_ACTIVATIONS];

#endif
