/* program.h - a network as a list of steps, one per layer; forward walks it down, backward up.
 *
 * A layer adds to deltas and gradients. To pay nothing for that, the program knows beforehand who
 * writes a view first: that one is marked BS_SET, and a view of which others have written a part
 * has its rest zeroed and is marked BS_ADD. Before a layer runs backward, whatever of its own
 * deltas nobody has written is zeroed, context slots always. All this depends on the wiring alone
 * and is worked out once. */
#ifndef BS_NETWORK_PROGRAM_H
#define BS_NETWORK_PROGRAM_H

#include "network/buffers.h"

typedef struct bs_zeroing { /* what is zeroed before a step runs backward */
    int leaf;
    int context_only; /* just the slot behind the last step */
    int of_input;     /* deltas into the Input layer, which may be left out */
    bs_array array;   /* present view */
} bs_zeroing;

typedef struct bs_step {
    const bs_layer *layer;
    bs_io io; /* its pointers are the arrays below */
    int n_arrays;
    int *leaf;       /* [array] in the order in, out, param, inner, d_in, d_out, d_param */
    bs_array *array; /* present views of them */
    bs_write *d_in_write,
        *d_in_write_lean; /* lean: BS_SKIP where the deltas go into the Input layer alone */
    bs_write *d_param_write, *inner_write;
    bs_array *d_in; /* [port]: what io.d_in points to */
    char
        *is_late; /* [port]: its deltas overlap an earlier port's, so they come by way of scratch */
    int has_late; /* any of them */
    int n_zeroings;
    bs_zeroing *zeroing;
} bs_step;

typedef struct bs_program {
    const bs_wiring *wiring;
    const bs_layout *layout;
    bs_step *step; /* [layer] */
} bs_program;

bs_status bs_program_create(bs_program *out, bs_arena *arena, const bs_wiring *wiring,
                            const bs_layout *layout, bs_error *err);

/* Takes the present views of all leaves. To be called whenever size, blocks or device have changed.
 */
void bs_program_refresh(bs_program *program, const bs_buffers *buffers);

/* Runs all steps; stops at the first failure in h->error and puts the layer's name in front of it.
 */
void bs_program_forward(bs_program *program, bs_handler *h, bs_pass pass);
void bs_program_backward(bs_program *program, bs_handler *h, int lean);

#endif
