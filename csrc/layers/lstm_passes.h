/* lstm_passes.h - the passes over time of Lstm, LstmOpt and ClockworkLstm.
 *
 * All three see their gates as blocks of columns, in the order z, i, f, o, of wide matrices; so
 * each step is one product with R and one elementwise pass, and W, R and bias have their gradients
 * from products over all steps at once. The formulas of a step stand with lstm_forward and
 * lstm_backward in handlers/ops.def. */
#ifndef BS_LAYERS_LSTM_PASSES_H
#define BS_LAYERS_LSTM_PASSES_H

#include "layers/recurrence.h"

typedef struct bs_lstm_parameters { /* or their gradients */
    bs_array W, R, p, b;            /* (4n, in), (4n, n), (3, n), (4n) */
} bs_lstm_parameters;

typedef struct bs_lstm_cells { /* internals, or their deltas: (T+1, B, ...) */
    bs_strip ga, gb;           /* gates before and after their activations, 4n */
    const bs_array *ca, *cb;   /* cell, and its activation, n */
} bs_lstm_cells;

void bs_lstm_forward_pass(bs_handler *h, int activation, const bs_io *io,
                          const bs_lstm_parameters *param, const bs_lstm_cells *cells,
                          const bs_array *timing);

typedef struct bs_lstm_deltas {
    bs_lstm_parameters d_param;
    bs_write write_W, write_R, write_p, write_b;
    bs_lstm_cells d_cells;
    int add; /* something has flowed into the deltas of the cells: bs_begin_internal_deltas */
} bs_lstm_deltas;

void bs_lstm_backward_pass(bs_handler *h, int activation, const bs_io *io,
                           const bs_lstm_parameters *param, const bs_lstm_cells *cells,
                           const bs_array *timing, const bs_lstm_deltas *back);

/* ---- for layers with an array for each gate: Lstm and ClockworkLstm ---- */

/* Declares output, the 15 parameters Wz .. bo and the internals Za .. dCb. */
bs_status bs_lstm_setup(bs_layer *layer, const bs_recurrent *self, bs_error *err);
void bs_lstm_forward_gates(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                           const bs_array *timing);
void bs_lstm_backward_gates(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                            const bs_array *timing);

#endif
