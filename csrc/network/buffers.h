/* buffers.h - the memory of a network: three reference-counted blocks, cut up by the layout for T
 * time steps and B sequences.
 *
 * constants  parameters and gradients; moves only with bs_buffers_move
 * forward    everything else that a forward pass fills; grows when a larger (T, B) arrives, never
 * shrinks backward   what a backward pass fills; made at the first bs_buffers_need_backward, grows
 * likewise
 *
 * A row of a hub starts on 64 bytes where the rows are long enough to care; images and short rows
 * are packed. */
#ifndef BS_NETWORK_BUFFERS_H
#define BS_NETWORK_BUFFERS_H

#include "network/layout.h"

typedef struct bs_buffers {
    const bs_layout *layout; /* borrowed */
    bs_device *device;       /* retained */
    int64_t T, B;
    bs_block *constants, *forward, *backward;
    size_t *offset;     /* [hub]: bytes from the start of its block, for the present T and B */
    size_t *offset_new; /* work space of bs_buffers_resize */
} bs_buffers;

/* For T = B = 1, all zero. The struct's own arrays are in `arena`. */
bs_status bs_buffers_open(bs_buffers *out, bs_arena *arena, const bs_layout *layout,
                          bs_device *device, bs_error *err);
void bs_buffers_close(bs_buffers *b); /* releases blocks and device; also half-opened */

/* Sets T and B (both >= 1). On failure (BS_NO_MEMORY, BS_VALUE) nothing has changed. */
bs_status bs_buffers_resize(bs_buffers *b, int64_t T, int64_t B, bs_error *err);
bs_status bs_buffers_need_backward(bs_buffers *b, bs_error *err);

/* Goes to another device (or dtype): parameters and gradients are converted, the rest is zero. On
 * failure nothing has changed. */
bs_status bs_buffers_move(bs_buffers *b, bs_device *device, bs_error *err);

/* The present view of a leaf; data is NULL while its block does not exist. */
bs_array bs_buffers_array(const bs_buffers *b, int leaf);
bs_block *bs_buffers_block(const bs_buffers *b, int leaf); /* borrowed */

#endif
