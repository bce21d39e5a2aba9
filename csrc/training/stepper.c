/* stepper.c - the part that all training methods share: options, state, one update. */
#include "training/stepper.h"

#include <math.h>
#include <string.h>

#include "base/subnormal.h"

#define BS_STEPPER(constant) extern const bs_stepper_type constant;
#include "training/steppers.def"

static const bs_stepper_type *const types[] = {
#define BS_STEPPER(constant) &constant,
#include "training/steppers.def"
    NULL};

struct bs_stepper {
    const bs_stepper_type *type;
    bs_stepper_options options;
    bs_network *net;   /* borrowed */
    bs_device *device; /* retained; of the states */
    bs_block *block[BS_MAX_STATES];
    bs_array state[BS_MAX_STATES];
    int64_t updates;
    int64_t left_out; /* of the network's handle, when updates was right */
};

static double *option_value(const bs_stepper *stepper, const bs_stepper_option *o)
{
    return (double *)(void *)((char *)&stepper->options + o->offset);
}

bs_status bs_stepper_create(bs_stepper **out, const char *type, bs_error *err)
{
    *out = NULL;
    for (int i = 0; types[i]; i++) {
        if (strcmp(types[i]->name, type) != 0)
            continue;
        bs_stepper *stepper = bs_alloc(sizeof *stepper);
        if (!stepper)
            return bs_fail(err, BS_NO_MEMORY, "no memory for a stepper");
        stepper->type = types[i];
        for (const bs_stepper_option *o = types[i]->options; o->name; o++)
            *option_value(stepper, o) = o->standard;
        *out = stepper;
        return BS_OK;
    }
    return bs_fail(err, BS_KEY, "there is no stepper '%s'", type);
}

static void let_go(bs_stepper *stepper)
{
    for (int i = 0; i < BS_MAX_STATES; i++) {
        bs_block_release(stepper->block[i]);
        stepper->block[i] = NULL;
    }
    bs_device_release(stepper->device);
    stepper->device = NULL;
    stepper->net = NULL;
}

void bs_stepper_close(bs_stepper *stepper)
{
    if (stepper)
        let_go(stepper);
    bs_free(stepper);
}

static const bs_stepper_option *find_option(const bs_stepper *stepper, const char *name,
                                            bs_error *err)
{
    for (const bs_stepper_option *o = stepper->type->options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    bs_fail(err, BS_KEY, "%sStepper has no option '%s'", stepper->type->name, name);
    return NULL;
}

bs_status bs_stepper_set(bs_stepper *stepper, const char *option, double value, bs_error *err)
{
    const bs_stepper_option *o = find_option(stepper, option, err);
    if (!o)
        return BS_KEY;
    if (!isfinite(value) || (o->is_flag && value != 0 && value != 1))
        return bs_fail(err, BS_VALUE, "%s must be %s, got %g", option,
                       o->is_flag ? "true or false" : "a finite number", value);
    *option_value(stepper, o) = value;
    return BS_OK;
}

bs_status bs_stepper_get(const bs_stepper *stepper, const char *option, double *value, int *is_flag,
                         bs_error *err)
{
    const bs_stepper_option *o = find_option(stepper, option, err);
    if (!o)
        return BS_KEY;
    *value = *option_value(stepper, o);
    *is_flag = o->is_flag;
    return BS_OK;
}

bs_status bs_stepper_start(bs_stepper *stepper, bs_network *net, bs_error *err)
{
    bs_array parameters;
    bs_device *device = bs_network_device(net);
    bs_block *block[BS_MAX_STATES] = {NULL};
    bs_error why = {0};
    const int n = stepper->type->n_states;
    BS_TRY(bs_network_finish(net, err));
    BS_TRY(bs_network_array(net, BS_LEAF_PARAMETERS, &parameters, NULL, err));
    const size_t bytes = (size_t)bs_count(&parameters) * bs_dtype_size(device->dtype);
    for (int i = 0; i < n; i++)
        if (!(block[i] = device->allocate(device, bytes, &why))) {
            for (int k = 0; k < i; k++)
                bs_block_release(block[k]);
            return bs_fail(err, why.code, "no memory for the state of a %sStepper: %s",
                           stepper->type->name, why.text);
        }
    let_go(stepper);
    stepper->net = net;
    stepper->device = bs_device_retain(device);
    stepper->updates = 0;
    stepper->left_out = bs_network_handle(net)->left_out;
    for (int i = 0; i < n; i++) {
        stepper->block[i] = block[i];
        stepper->state[i] = parameters;
        stepper->state[i].data = block[i]->data;
    }
    return BS_OK;
}

int bs_stepper_state(const bs_stepper *stepper, int i, bs_array *out, bs_block **block)
{
    if (i < 0 || i >= BS_MAX_STATES || !stepper->block[i])
        return 0;
    *out = stepper->state[i];
    *block = stepper->block[i];
    return 1;
}

bs_device *bs_stepper_device(const bs_stepper *stepper)
{
    return stepper->device;
}

/* Updates that have turned out to be wrong do not count. */
static void take_back(bs_stepper *stepper)
{
    if (!stepper->net || bs_network_device(stepper->net) != stepper->device)
        return;
    const bs_handler *h = bs_network_handle(stepper->net);
    stepper->updates -= h->left_out - stepper->left_out;
    stepper->left_out = h->left_out;
}

int64_t bs_stepper_updates(bs_stepper *stepper)
{
    take_back(stepper);
    return stepper->updates;
}

void bs_stepper_set_updates(bs_stepper *stepper, int64_t updates)
{
    take_back(stepper);
    stepper->updates = updates;
}

double bs_scaled_rate(const bs_stepper_options *o)
{
    return o->learning_rate * (o->scale_learning_rate != 0 ? 1 - o->momentum : 1);
}

void bs_scale_parameters(bs_handler *h, const bs_vectors *v, double factor)
{
    const bs_wiring *wiring = bs_network_wiring(v->network);
    const bs_layout *layout = bs_network_layout(v->network);
    for (int l = 0; l < wiring->n; l++)
        for (int i = 0; i < wiring->layer[l].param.n; i++) {
            const bs_leaf *leaf = &layout->leaf[bs_layout_leaf(layout, l, BS_PARAMETERS, i)];
            if (wiring->layer[l].param.buffer[i].flags & BS_NO_GRADIENT)
                continue;
            const bs_array part = bs_slice(v->parameters, leaf->column,
                                           bs_shape_size(&leaf->shape));
            bs_mult_st(h, factor, &part, &part);
        }
}

static void step(bs_stepper *stepper, bs_update_part *f, const bs_vectors *v)
{
    const int flushed = bs_flush_subnormals(1);
    bs_handler *h = bs_network_handle(stepper->net);
    h->is_updating = 1;
    f(h, &stepper->options, v);
    h->is_updating = 0;
    bs_flush_subnormals(flushed);
}

static bs_status update(bs_stepper *stepper, const bs_vectors *v, bs_error *err)
{
    if (stepper->type->before)
        step(stepper, stepper->type->before, v);
    BS_TRY(bs_network_forward(stepper->net, BS_TRAINING, 0, NULL, err));
    if (stepper->type->during) {
        const bs_early_update early = stepper->type->during(&stepper->options, v);
        BS_TRY(bs_network_backward(stepper->net, &early, err));
    } else {
        BS_TRY(bs_network_backward(stepper->net, NULL, err));
    }
    step(stepper, stepper->type->after, v);
    return BS_OK;
}

/* After a failure of its own, what was wrong with the data of this update is no news. What was
 * wrong with the one before, or is `untold` since then, is told by the next call. */
static void fail_update(bs_stepper *stepper, int was_wrong, bs_error untold)
{
    bs_network_failure(stepper->net, was_wrong ? &untold : NULL);
    bs_network_finish(stepper->net, NULL);
    bs_network_keep_failure(stepper->net, &untold);
    /* this update was not counted */
    stepper->left_out = bs_network_handle(stepper->net)->left_out - was_wrong;
}

bs_status bs_stepper_run(bs_stepper *stepper, bs_error *err)
{
    bs_array parameters, gradients;
    const bs_vectors v = {.parameters = &parameters,
                          .gradients = &gradients,
                          .state = stepper->state,
                          .updates = bs_stepper_updates(stepper),
                          .network = stepper->net};
    if (!stepper->net)
        return bs_fail(err, BS_STATE, "%sStepper: start(net) must come before run()",
                       stepper->type->name);
    if (bs_network_device(stepper->net) != stepper->device)
        return bs_fail(err, BS_STATE,
                       "%sStepper: the network's handler has changed, start(net) must come again",
                       stepper->type->name);
    BS_TRY(bs_network_array(stepper->net, BS_LEAF_PARAMETERS, &parameters, NULL, err));
    BS_TRY(bs_network_array(stepper->net, BS_LEAF_GRADIENTS, &gradients, NULL, err));
    bs_error untold = {0};
    bs_network_failure(stepper->net, &untold);
    bs_handler *h = bs_network_handle(stepper->net);
    bs_handler_begin_step(h);
    const bs_status status = update(stepper, &v, err);
    if (status != BS_OK) {
        bs_handler_flush(h); /* no update like others */
        bs_network_failure(stepper->net, err);
    }
    bs_handler_end_step(h);
    const int was_wrong = h->left_out != stepper->left_out; /* the update before */
    if (status != BS_OK) {
        fail_update(stepper, was_wrong, untold);
        return status;
    }
    stepper->updates += h->error.code == BS_OK || was_wrong;
    bs_network_keep_failure(stepper->net, &untold);
    return bs_network_failure(stepper->net, err);
}
