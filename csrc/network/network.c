/* network.c - the object that owns arena, wiring, layout, buffers and program. */
#include "network/network.h"

#include <stdatomic.h>
#include <string.h>

#include "base/subnormal.h"
#include "network/plan.h"

struct bs_network {
    bs_arena arena; /* everything below that is not numbers */
    bs_wiring wiring;
    bs_layout layout;
    bs_buffers buffers;
    bs_program program;
    bs_handler handler; /* the handle that the program passes down */
    bs_error untold;    /* a failure that nobody has been told of */
    bs_stream own_stream;
    int is_lean;    /* backward passes are to be lean */
    int was_lean;   /* the last one */
    int has_run[2]; /* a forward pass, a backward pass */
    int is_ready;   /* a forward pass has run at the present size */
    int is_warm;    /* a backward pass has: memory is there, as far as sizes decide */
    int may_fail;   /* some layer has BS_MAY_FAIL */
    bs_hook *gradient_hook;
    void *gradient_context;
    atomic_flag busy;
};

bs_status bs_network_create(bs_network **out, const bs_graph *graph, bs_device *device,
                            bs_error *err)
{
    bs_status status = BS_OK;
    bs_network *net = bs_alloc(sizeof *net);
    *out = NULL;
    if (!net)
        return bs_fail(err, BS_NO_MEMORY, "no memory for a network");
    atomic_flag_clear(&net->busy);
    BS_TRY_DONE(bs_wiring_create(&net->wiring, &net->arena, graph, err));
    BS_TRY_DONE(bs_layout_create(&net->layout, &net->arena, &net->wiring, err));
    BS_TRY_DONE(bs_buffers_open(&net->buffers, &net->arena, &net->layout, device, err));
    BS_TRY_DONE(bs_program_create(&net->program, &net->arena, &net->wiring, &net->layout, err));
    bs_handler_init(&net->handler, device, &net->own_stream);
    bs_program_refresh(&net->program, &net->buffers);
    for (int l = 0; l < net->wiring.n; l++)
        net->may_fail |= net->wiring.layer[l].type->flags & BS_MAY_FAIL;
    *out = net;
    return BS_OK;
done:
    bs_network_close(net);
    return status;
}

void bs_network_close(bs_network *net)
{
    if (!net)
        return;
    if (net->handler.device)
        bs_handler_close(&net->handler);
    bs_buffers_close(&net->buffers);
    bs_arena_close(&net->arena);
    bs_free(net);
}

bs_status bs_network_enter(bs_network *net, bs_error *err)
{
    if (atomic_flag_test_and_set_explicit(&net->busy, memory_order_acquire))
        return bs_fail(
            err, BS_STATE,
            "the network is busy: another thread, or a pass that has not ended, is using it");
    return BS_OK;
}

void bs_network_leave(bs_network *net)
{
    atomic_flag_clear_explicit(&net->busy, memory_order_release);
}

/* ---- looking inside ---- */

const bs_wiring *bs_network_wiring(const bs_network *net)
{
    return &net->wiring;
}

const bs_layout *bs_network_layout(const bs_network *net)
{
    return &net->layout;
}

bs_device *bs_network_device(const bs_network *net)
{
    return net->buffers.device;
}

int bs_network_has_run(const bs_network *net, int backward)
{
    return net->has_run[backward != 0];
}

int64_t bs_network_time_steps(const bs_network *net)
{
    return net->buffers.T;
}

int64_t bs_network_batch_size(const bs_network *net)
{
    return net->buffers.B;
}

/* Whether `path` begins with `part` and a dot; moves it behind them. */
static int skip_part(const char **path, const char *part)
{
    const size_t length = strlen(part);
    if (strncmp(*path, part, length) != 0 || (*path)[length] != '.')
        return 0;
    *path += length + 1;
    return 1;
}

bs_status bs_network_find(const bs_network *net, const char *path, int *leaf, bs_error *err)
{
    for (*leaf = 0; *leaf < net->layout.n_leaves; ++*leaf) {
        const bs_leaf *l = &net->layout.leaf[*leaf];
        const char *rest = path;
        if (l->layer >= 0 && !(skip_part(&rest, net->wiring.layer[l->layer].name) &&
                               skip_part(&rest, bs_category_names[l->category])))
            continue;
        if (strcmp(rest, l->name) == 0)
            return BS_OK;
    }
    return bs_fail(err, BS_KEY, "there is no buffer '%s'", path);
}

/* Whether a leaf shows deltas of a dead end's outputs. */
static int shows_dead_end(const bs_network *net, const bs_leaf *leaf)
{
    if (leaf->category != BS_OUTPUT_DELTAS && leaf->category != BS_INPUT_DELTAS)
        return 0;
    for (int i = 0; i < net->layout.n_leaves; i++) {
        const bs_leaf *l = &net->layout.leaf[i];
        if (l->category == BS_OUTPUT_DELTAS && l->hub == leaf->hub &&
            net->program.step[l->layer].is_dead_end &&
            l->column < leaf->column + bs_shape_size(&leaf->shape) &&
            leaf->column < l->column + bs_shape_size(&l->shape))
            return 1;
    }
    return 0;
}

bs_status bs_network_array(bs_network *net, int leaf, bs_array *out, bs_block **block,
                           bs_error *err)
{
    const bs_leaf *l = &net->layout.leaf[leaf];
    if (net->layout.hub[l->hub].backward_only && !net->buffers.backward &&
        leaf != BS_LEAF_GRADIENTS && l->category != BS_GRADIENTS) {
        BS_TRY(bs_buffers_need_backward(&net->buffers, err));
        bs_program_refresh(&net->program, &net->buffers);
    }
    const int is_at_work = l->layer >= 0 && net->program.running == &net->program.step[l->layer];
    if (net->was_lean && !is_at_work && shows_dead_end(net, l))
        return bs_fail(err, BS_STATE,
                       "%s.%s.%s was left out, because nobody asked for it while the trainer ran; "
                       "net.backward_pass() computes it",
                       net->wiring.layer[l->layer].name, bs_category_names[l->category], l->name);
    const int detoured = bs_program_detour(&net->program, leaf, out);
    if (!detoured)
        *out = bs_buffers_array(&net->buffers, leaf);
    if (block)
        *block = detoured ? bs_scratch_block(&net->handler, out->data)
                          : bs_buffers_block(&net->buffers, leaf);
    return BS_OK;
}

/* ---- running ---- */

bs_status bs_network_resize(bs_network *net, int64_t T, int64_t B, bs_error *err)
{
    if (T == net->buffers.T && B == net->buffers.B)
        return BS_OK;
    BS_TRY(bs_buffers_resize(&net->buffers, T, B, err));
    net->is_ready = net->is_warm = 0;
    bs_program_refresh(&net->program, &net->buffers);
    return BS_OK;
}

bs_status bs_network_set_device(bs_network *net, bs_device *device, bs_error *err)
{
    BS_TRY(bs_network_finish(net, err));
    bs_device *before = bs_device_retain(net->buffers.device);
    const bs_status status = bs_buffers_move(&net->buffers, device, err);
    if (status == BS_OK) {
        bs_stream *stream = net->handler.stream;
        bs_handler_close(&net->handler); /* its scratch belongs to the device of before */
        bs_handler_init(&net->handler, device, stream);
        net->has_run[0] = net->has_run[1] = net->is_ready = net->is_warm = 0;
        bs_program_refresh(&net->program, &net->buffers);
    }
    bs_device_release(before);
    return status;
}

bs_handler *bs_network_handle(bs_network *net)
{
    return &net->handler;
}

void bs_network_set_stream(bs_network *net, bs_stream *stream)
{
    net->handler.stream = stream ? stream : &net->own_stream;
}

void bs_network_set_lean(bs_network *net, int is_lean)
{
    net->is_warm &= is_lean; /* a whole pass takes more memory than a lean one */
    net->is_lean = is_lean;
}

void bs_network_set_gradient_hook(bs_network *net, bs_hook *hook, void *context)
{
    net->gradient_hook = hook;
    net->gradient_context = context;
}

bs_status bs_network_failure(bs_network *net, bs_error *err)
{
    bs_error *failure = net->handler.error.code != BS_OK ? &net->handler.error : &net->untold;
    const bs_status code = failure->code;
    if (code != BS_OK && err && err->code == BS_OK)
        *err = *failure;
    failure->code = BS_OK;
    return code;
}

void bs_network_keep_failure(bs_network *net, const bs_error *failure)
{
    net->untold = *failure;
}

bs_status bs_network_finish(bs_network *net, bs_error *err)
{
    bs_handler_finish(&net->handler);
    return bs_network_failure(net, err);
}

/* Copies a state of the host to a slot, by an operation, which handlers may check. */
static bs_status set_state(bs_network *net, const bs_array *state, const bs_array *slot,
                           bs_error *err)
{
    bs_handler *h = &net->handler;
    bs_device *device = net->buffers.device;
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array there = bs_scratch_like(h, slot);
    bs_status status = BS_OK;
    if (h->error.code == BS_OK)
        status = device->write(device, &there, state->data, err);
    if (status == BS_OK)
        bs_copy_to(h, &there, slot);
    bs_scratch_release(h, mark);
    return status;
}

/* Zeroes the context slots, or fills them from the given states. */
static bs_status set_states(bs_network *net, int n, const bs_state_before *states, bs_error *err)
{
    for (int i = 0; i < net->layout.n_leaves; i++) {
        const bs_leaf *l = &net->layout.leaf[i];
        if (!l->shape.context || l->shape.backward_only)
            continue;
        const bs_array all = bs_buffers_array(&net->buffers, i);
        bs_array slot = bs_slice(&all, net->buffers.T, l->shape.context);
        const bs_array *given = NULL;
        for (int k = 0; k < n; k++)
            if (states[k].leaf == i)
                given = &states[k].state;
        if (!given) {
            bs_fill(&net->handler, &slot, 0.0);
            continue;
        }
        if (!bs_same_shape(given, &slot)) {
            char got[120], wanted[120];
            bs_dims_text(got, sizeof got, given->ndim, given->dim);
            bs_dims_text(wanted, sizeof wanted, slot.ndim, slot.dim);
            return bs_fail(err, BS_VALUE, "the context of %s.%s.%s has shape %s, expected %s",
                           net->wiring.layer[l->layer].name, bs_category_names[l->category],
                           l->name, got, wanted);
        }
        if (given->dtype != slot.dtype)
            return bs_fail(err, BS_STATE, "the network's handler has changed under its context");
        BS_TRY(set_state(net, given, &slot, err));
        if (net->handler.error.code != BS_OK) {
            bs_error_prefix(&net->handler.error, "the context of %s.%s.%s",
                            net->wiring.layer[l->layer].name, bs_category_names[l->category],
                            l->name);
            break;
        }
    }
    return bs_network_finish(net, err);
}

bs_status bs_network_forward(bs_network *net, bs_pass pass, int n_states,
                             const bs_state_before *states, bs_error *err)
{
    BS_TRY(bs_network_finish(net, err));
    BS_TRY(set_states(net, n_states, states, err));
    net->has_run[0] = net->is_ready = 1;
    const int flushed = bs_flush_subnormals(1);
    bs_program_forward(&net->program, &net->handler, pass);
    bs_flush_subnormals(flushed);
    return bs_network_finish(net, err);
}

/* An update that is made early cannot be taken back, so no layer and no check may fail behind it. A
 * device that wraps another one looks for failures, one with memory of its own finds them late. */
static int may_update_early(const bs_network *net)
{
    const bs_device *device = net->buffers.device;
    return net->is_warm && !net->may_fail && !net->gradient_hook && device->memory == device &&
           device->type->host_memory;
}

bs_status bs_network_backward(bs_network *net, const bs_early_update *update, bs_error *err)
{
    BS_TRY(bs_network_finish(net, err));
    if (!net->is_ready)
        return bs_fail(err, BS_STATE,
                       "a backward pass needs a forward pass over data of this size before it");
    if (!net->buffers.backward) {
        BS_TRY(bs_buffers_need_backward(&net->buffers, err));
        bs_program_refresh(&net->program, &net->buffers);
    }
    net->has_run[1] = 1;
    net->was_lean = net->is_lean;
    const int flushed = bs_flush_subnormals(1);
    bs_program_backward(&net->program, &net->handler, net->is_lean,
                        may_update_early(net) ? update : NULL);
    bs_flush_subnormals(flushed);
    BS_TRY(bs_network_finish(net, err));
    net->is_warm = 1;
    if (!net->gradient_hook)
        return BS_OK;
    bs_handler_flush(&net->handler); /* it will look at gradients */
    return net->gradient_hook(net->gradient_context, err);
}

int bs_network_has_updated(const bs_network *net, int layer, int index)
{
    return net->program.step[layer].is_updated[index];
}

static const bs_program_step *loss_step(const bs_network *net, int i)
{
    for (int l = 0; l < net->wiring.n; l++)
        if ((net->wiring.layer[l].type->flags & BS_IS_LOSS) && i-- == 0)
            return &net->program.step[l];
    return NULL;
}

int bs_network_n_losses(const bs_network *net)
{
    int n = 0;
    while (loss_step(net, n))
        n++;
    return n;
}

bs_status bs_network_loss(bs_network *net, int i, const char **name, double *value, bs_error *err)
{
    const bs_program_step *step = loss_step(net, i);
    union {
        float f32;
        double f64;
    } number;
    BS_ASSERT(step);
    BS_TRY(bs_network_finish(net, err));
    BS_TRY(net->buffers.device->read(net->buffers.device, &step->io.out[0], &number, err));
    *name = step->layer->name;
    *value = net->buffers.device->dtype == BS_F64 ? number.f64 : (double)number.f32;
    return BS_OK;
}
