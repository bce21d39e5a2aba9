/* cpu.h - the handler for the processor: which instruction set its kernels use.
 *
 * The kernels exist once for each set that the compiler's target may have; the highest one that
 * this machine has is taken. BRAINSTORM_CPU=base|avx2|avx512 forces a lower one. */
#ifndef BS_HANDLERS_CPU_CPU_H
#define BS_HANDLERS_CPU_CPU_H

#include "handlers/handler.h"

typedef void bs_cpu_fill(bs_device *device);

typedef struct bs_cpu_set {
    const char *name;
    bs_cpu_fill *fill[2]; /* by bs_dtype: fills the table and is_fully_finite */
    int (*runs)(void);    /* whether this machine has it */
} bs_cpu_set;

/* The set in use, or BS_DEVICE naming those that could be. */
bs_status bs_cpu_choose(const bs_cpu_set **out, bs_error *err);

/* Names of the sets that this machine runs, separated by spaces, the lowest first. */
const char *bs_cpu_available(void);

#endif
