/* recurrent.h - the elementwise part of one step of a recurrent layer, for single steps and for
 * operations over all steps. */
#ifndef BS_HANDLERS_CPU_RECURRENT_H
#define BS_HANDLERS_CPU_RECURRENT_H

#include "handlers/cpu/kernels.h"

enum {
    MOST = 11,     /* arrays of an operation */
    CELL_COST = 64 /* of a cell of an LSTM or GRU at a step, in cheap elements */
};

typedef struct lines { /* a row of a step for each sequence, or one for all (pitch 0) */
    real *data;
    int64_t pitch;
} lines;

static inline real *line_at(const lines *a, int64_t row)
{
    return a->data + row * a->pitch;
}

typedef struct step_job {
    lines array[MOST]; /* in the order of the operation */
    int64_t n;         /* cells of a sequence */
    bs_activation activation;
    int add;
} step_job;

/* What lstm_forward and lstm_backward do with one sequence; the job is a step_job. */
row_job_function K(lstm_row), K(lstm_row_backward);

#endif
