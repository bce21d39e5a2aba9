/* network.h - a network: layers, memory, and the program that runs them.
 *
 * One user at a time: whoever may meet another thread holds the network by bs_network_enter ...
 * bs_network_leave around whatever it does with it. */
#ifndef BS_NETWORK_NETWORK_H
#define BS_NETWORK_NETWORK_H

#include "network/buffers.h"
#include "network/graph.h"
#include "network/layout.h"

typedef struct bs_network bs_network;

/* Builds the layers of the graph, their memory on the device (retained) and the program; sizes are
 * T = B = 1, everything is zero. Owned: bs_network_close. Errors: see bs_wiring_create,
 * bs_layout_create; BS_NO_MEMORY. */
bs_status bs_network_create(bs_network **out, const bs_graph *graph, bs_device *device,
                            bs_error *err);
void bs_network_close(bs_network *net); /* NULL is allowed; blocks live on while leaves hold them */

bs_status bs_network_enter(bs_network *net, bs_error *err); /* BS_STATE if somebody is inside */
void bs_network_leave(bs_network *net);

/* ---- looking inside ---- */

const bs_wiring *bs_network_wiring(const bs_network *net);
const bs_layout *bs_network_layout(const bs_network *net);
bs_device *bs_network_device(const bs_network *net); /* borrowed */
int64_t bs_network_time_steps(const bs_network *net);
int64_t bs_network_batch_size(const bs_network *net);

/* The leaf at "parameters", "gradients" or "LAYER.CATEGORY.NAME"; BS_KEY naming the part that is
 * wrong. */
bs_status bs_network_find(const bs_network *net, const char *path, int *leaf, bs_error *err);

/* The present array of a leaf (during the pass of a layer: the one that it works on); makes the
 * backward memory if the leaf is in it. BS_STATE for deltas
 * that the last backward pass left out (bs_network_set_lean). `block` (may be NULL)
 * receives the memory behind it, borrowed. */
bs_status bs_network_array(bs_network *net, int leaf, bs_array *out, bs_block **block,
                           bs_error *err);

/* Whether a forward (backward) pass has run since the network was made or last changed its device.
 */
int bs_network_has_run(const bs_network *net, int backward);

/* ---- running ---- */

/* Makes room for T time steps of B sequences. Parameters stay; every other content is arbitrary
 * afterwards if T or B changed. */
bs_status bs_network_resize(bs_network *net, int64_t T, int64_t B, bs_error *err);
/* See bs_buffers_move. Nothing is moved if the data of an update before was wrong. */
bs_status bs_network_set_device(bs_network *net, bs_device *device, bs_error *err);

/* What its passes run on; borrowed, until the device changes. */
bs_handler *bs_network_handle(bs_network *net);

/* Moves the sticky error to the caller, or else one that is kept. */
bs_status bs_network_failure(bs_network *net, bs_error *err);
/* Keeps a failure, or none, for the next who asks. */
void bs_network_keep_failure(bs_network *net, const bs_error *failure);
/* Waits for what passes and updates may still have to say about their data, and does the same. */
bs_status bs_network_finish(bs_network *net, bs_error *err);

/* The stream that random operations draw from; borrowed. At first a stream of the network's own
 * with key 0. */
void bs_network_set_stream(bs_network *net, bs_stream *stream);

/* Whether backward passes are lean: they leave out deltas of dead ends (program.h), on which no
 * gradient depends; afterwards such a leaf cannot be read until a whole backward pass has run. */
void bs_network_set_lean(bs_network *net, int is_lean);

/* Called at the end of every backward pass; NULL: nothing. */
typedef bs_status bs_hook(void *context, bs_error *err);
void bs_network_set_gradient_hook(bs_network *net, bs_hook *hook, void *context);

/* The state before step 0 of a (+1) leaf for the next forward pass; `state` is (B, ...) or (1, B,
 * ...), packed, of the network's device. Without it the state is zero. The array is read by
 * bs_network_forward. */
typedef struct bs_state_before {
    int leaf;
    bs_array state;
} bs_state_before;

/* Forward and backward pass over what stands in Input's outputs, unless something was wrong with
 * the data of an update before (see bs_stepper_run). Errors carry the layer's name. BS_STATE: a
 * backward pass without a forward pass since the size or the device has changed.
 *
 * `update` (NULL: none) is one that layers may make of some parameters. They do where nobody asks
 * for gradients before (bs_network_set_gradient_hook) and nothing is expected to fail: no layer has
 * BS_MAY_FAIL, the device keeps its arrays on the host and checks nothing, and a backward pass has
 * taken its memory since the size or the device has changed. Where other data takes more and there
 * is none, the pass fails and some parameters are updated. */
bs_status bs_network_forward(bs_network *net, bs_pass pass, int n_states,
                             const bs_state_before *states, bs_error *err);
bs_status bs_network_backward(bs_network *net, const bs_early_update *update, bs_error *err);

/* Whether the last backward pass, if it did not fail, has updated parameter number `index` of the
 * layer. */
int bs_network_has_updated(const bs_network *net, int layer, int index);

/* Loss layers in the order of execution: how many, and name and value after a forward pass, which
 * is waited for. */
int bs_network_n_losses(const bs_network *net);
bs_status bs_network_loss(bs_network *net, int i, const char **name, double *value, bs_error *err);

#endif
