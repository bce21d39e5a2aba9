/* recurrence.h - what layers that run over time share: options and port, several arrays as one, the
 * states before all steps, clocks. */
#ifndef BS_LAYERS_RECURRENCE_H
#define BS_LAYERS_RECURRENCE_H

#include "handlers/clock.h"
#include "layers/kit.h"

/* ---- options and port ---- */

typedef struct bs_recurrent { /* the state of all of them */
    int64_t size;
    int activation;
} bs_recurrent;

extern const bs_option bs_recurrent_options[]; /* size, activation='tanh' */
extern const bs_port bs_recurrent_inputs[];    /* default (T, B, ...) */

/* ---- several arrays as one ---- */

/* n parameters or gradients that were declared one after another, joined along the first dimension;
 * no copy, since parameters follow each other in memory. */
bs_array bs_stack(const bs_array *first, int n);

/* The one mark of n gradients: BS_ADD if one of them is to be added to (the others are zeroed
 * then), else BS_SET. */
bs_write bs_stack_write(bs_handler *h, const bs_array *first, const bs_write *write, int n);

/* n internals (T+1, B, size), `step` apart in the order of declaration, as one (T+1, B, n * size).
 * A view where they stand side by side (bs_add_internal_to_strip); where the wiring has put one of
 * them elsewhere, a copy in scratch. */
typedef struct bs_strip {
    bs_array wide;
    const bs_array *part;
    int step, n, is_copy;
} bs_strip;
bs_strip bs_strip_open(bs_handler *h, const bs_array *first, int step, int n);
/* Between a copy and its parts, all steps but the context slot; nothing to do for a view. */
void bs_strip_load(bs_handler *h, const bs_strip *strip);
void bs_strip_store(bs_handler *h, const bs_strip *strip);

/* Whether something has flowed into one of the n backward-only internals from `first` on, so that
 * the layer must add to them; those without anything are zeroed then, for all steps. */
int bs_begin_internal_deltas(bs_handler *h, const bs_io *io, int first, int n);

/* ---- states before all steps: the context slot, then rows 0 .. T-2 ---- */

/* out (+)= sum over t of d[t]' state[t-1]; d and state are (T+1, B, ...). */
void bs_put_dot_before(bs_handler *h, bs_write write, const bs_array *d, const bs_array *state,
                       const bs_array *out);

/* out += sum over t and sequences of d[t] * state[t-1], where d is `block` of the columns of
 * `deltas` (T+1, B, blocks * n), state (T+1, B, n) and out (1, n). */
void bs_add_products_before(bs_handler *h, const bs_array *deltas, int block, const bs_array *state,
                            const bs_array *out);

/* Block number `block` of n columns of steps start .. start+count of a (T+1, B, blocks * n). */
bs_array bs_step_block(const bs_array *a, int64_t start, int64_t count, int block, int64_t n);

/* ---- clocks (handlers/clock.h) ---- */

/* For bs_layer_type.check: fails, then or at the end of the pass, unless all numbers of the timing
 * are finite and above 0. */
void bs_clock_check(bs_handler *h, const bs_array *timing);

#endif
