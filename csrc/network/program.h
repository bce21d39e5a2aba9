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

enum { BS_WHOLE_PASS = 1, BS_LEAN_PASS = 2 }; /* backward passes */

typedef struct bs_zeroing { /* what is zeroed before a step runs backward */
    int leaf;
    int context_only; /* just the slot behind the last step */
    int passes;       /* in which of them */
    bs_array array;   /* present view */
} bs_zeroing;

/* An array that the layer gets as a packed copy in scratch, for one of two reasons: it shares its
 * pixels with others (layers are promised packed features), or it is the deltas of a port that
 * overlap those of an earlier port. */
typedef struct bs_detour {
    int array;                /* position in bs_program_step.array */
    int port;                 /* whose deltas they are, or -1 */
    bs_write back, back_lean; /* of a port: how what the layer SETs there gets into the real view */
    bs_array real;            /* while the step runs */
} bs_detour;

typedef struct bs_program_step {
    const bs_layer *layer;
    int is_dead_end; /* nothing but deltas of dead ends depends on the deltas of its outputs: the
                        Input layer, and built-in layers that have no parameters, fill no internals
                        backward and read from dead ends alone */
    bs_io io;        /* its pointers are the arrays below */
    int n_arrays;
    int *leaf;       /* [array] in the order in, out, param, inner, d_in, d_out, d_param */
    bs_array *array; /* present views of them */
    bs_write *d_in_write,
        *d_in_write_lean; /* lean: BS_SKIP where the deltas go into dead ends alone */
    bs_write *d_param_write, *inner_write;
    int is_large;       /* some parameter is worth an early update */
    bs_array *velocity; /* [parameter] of the update of a backward pass */
    char *is_updated;   /* [parameter]: the last backward pass has made its update */
    int n_detours;
    bs_detour *detour;
    bs_mark mark; /* of the scratch, while the step runs */
    int n_zeroings;
    bs_zeroing *zeroing;
} bs_program_step;

typedef struct bs_program {
    const bs_wiring *wiring;
    const bs_layout *layout;
    bs_program_step *step;    /* [layer] */
    bs_program_step *running; /* the one that runs, or NULL */
} bs_program;

/* Takes the present views of all leaves. To be called whenever size, blocks or device have changed.
 */
void bs_program_refresh(bs_program *program, const bs_buffers *buffers);

/* While a step runs: the copy in scratch that its layer has instead of the leaf; 0 if it has the
 * leaf itself. */
int bs_program_detour(const bs_program *program, int leaf, bs_array *out);

/* Runs all steps; stops at the first failure in h->error and puts the layer's name in front of it.
 * Lean: without the deltas into dead ends. Update: layers may make it; NULL: none. */
void bs_program_forward(bs_program *program, bs_handler *h, bs_pass pass);
void bs_program_backward(bs_program *program, bs_handler *h, int lean,
                         const bs_early_update *update);

#endif
