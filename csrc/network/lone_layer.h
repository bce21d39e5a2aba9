/* lone_layer.h - one layer outside of any network, with memory of its own for all its arrays.
 *
 * It runs as layers are specified: it adds to deltas and gradients whatever they hold. */
#ifndef BS_NETWORK_LONE_LAYER_H
#define BS_NETWORK_LONE_LAYER_H

#include "network/buffers.h"

typedef struct bs_lone_layer bs_lone_layer;

/* See bs_layer_create. Owned: bs_lone_layer_close. */
bs_status bs_lone_layer_create(bs_lone_layer **out, const bs_layer_type *type, const char *name,
                               int n_settings, const bs_setting *settings, int n_inputs,
                               const bs_buffer *inputs, bs_error *err);
void bs_lone_layer_close(bs_lone_layer *lone); /* NULL is allowed */

const bs_layer *bs_lone_layer_layer(const bs_lone_layer *lone);
const bs_layout *bs_lone_layer_layout(const bs_lone_layer *lone); /* its layer is number 0 */

/* Makes room for T steps of B sequences on the device. BS_VALUE, BS_NO_MEMORY. */
bs_status bs_lone_layer_resize(bs_lone_layer *lone, bs_device *device, int64_t T, int64_t B,
                               bs_error *err);

/* The present array of a leaf. */
bs_array bs_lone_layer_array(const bs_lone_layer *lone, int leaf);

/* One pass over what the arrays hold; errors carry the layer's name. Backward differentiates the
 * forward pass that ran last. */
bs_status bs_lone_layer_forward(bs_lone_layer *lone, bs_stream *stream, bs_pass pass,
                                bs_error *err);
bs_status bs_lone_layer_backward(bs_lone_layer *lone, bs_stream *stream, bs_error *err);

#endif
