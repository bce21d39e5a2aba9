/* recurrent.c - Recurrent: Ha[t] = W x[t] + R y[t-1] + bias, y[t] = act(Ha[t]).
 *
 * Backward through time: dHb[t] = dL/dy[t] = dy[t] + R' dHa[t+1], dHa[t] = dHb[t] * act'(y[t]). The
 * slot behind the last step of dHb receives the delta of the state before step 0. */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { W, R, BIAS };
enum { HA, DHA, DHB }; /* internals */

typedef struct {
    int64_t size;
    int activation;
} recurrent;

static const bs_option options[] = {
    {"size", BS_OPT_INT, offsetof(recurrent, size), NULL, NULL},
    {"activation", BS_OPT_ACTIVATION, offsetof(recurrent, activation), "tanh", NULL},
    {0}};
static const bs_port inputs[] = {{"default", "T B ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const recurrent *self = state;
    bs_shape shape = bs_time_shape(self->size);
    shape.context = 1;
    BS_TRY(bs_add_output(layer, "default", shape, err));
    BS_TRY(bs_add_parameter(
        layer, "W", bs_fixed_2d(self->size, bs_shape_size(&layer->in.buffer[X].shape)), 0, err));
    BS_TRY(bs_add_parameter(layer, "R", bs_fixed_2d(self->size, self->size), 0, err));
    BS_TRY(bs_add_parameter(layer, "bias", bs_fixed_1d(self->size), 0, err));
    BS_TRY(bs_add_internal(layer, "Ha", shape, err));
    shape.backward_only = 1;
    BS_TRY(bs_add_internal(layer, "dHa", shape, err));
    return bs_add_internal(layer, "dHb", shape, err);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const recurrent *self = state;
    const int64_t T = io->in[X].dim[0];
    const bs_array w = bs_matrix(&io->param[W], 1), r = bs_matrix(&io->param[R], 1);
    const bs_array x = bs_flat(&io->in[X]), ha_steps = bs_steps(&io->inner[HA], 0, T),
                   ha_all = bs_flat(&ha_steps);
    bs_linear_act(h, &x, &w, &io->param[BIAS], &ha_all, BS_LINEAR);
    for (int64_t t = 0; t < T; t++) {
        const bs_array ha = bs_step(&io->inner[HA], t);
        const bs_array y = bs_step(&io->out[Y], t), y_before = bs_step(&io->out[Y], t - 1);
        bs_dot_add_mm(h, &y_before, &r, &ha, BS_NO_TRANS, BS_TRANS);
        bs_activate(h, self->activation, &ha, &y);
    }
}

/* dHa and dHb of every step, from the last to the first. */
static void backward_through_time(bs_handler *h, const recurrent *self, const bs_io *io, int64_t T)
{
    const bs_array r = bs_matrix(&io->param[R], 1);
    for (int64_t t = T - 1; t >= 0; t--) {
        const bs_array y = bs_step(&io->out[Y], t), dy = bs_step(&io->d_out[Y], t);
        const bs_array dha = bs_step(&io->inner[DHA], t), dhb = bs_step(&io->inner[DHB], t);
        const bs_array dhb_before = bs_step(&io->inner[DHB], t - 1);
        bs_put(h, t == T - 1 ? BS_SET : BS_ADD, &dy, &dhb);
        bs_put_activate_deriv(h, io->inner_write[DHA], self->activation, &y, &dhb, &dha);
        bs_dot_mm(h, &dha, &r, &dhb_before, BS_NO_TRANS, BS_NO_TRANS);
    }
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const int64_t T = io->in[X].dim[0];
    const bs_array w = bs_matrix(&io->param[W], 1), dw = bs_matrix(&io->d_param[W], 1);
    const bs_array dr = bs_matrix(&io->d_param[R], 1);
    const bs_array x = bs_flat(&io->in[X]), dx = bs_flat(&io->d_in[X]);
    const bs_array dha_steps = bs_steps(&io->inner[DHA], 0, T), dha = bs_flat(&dha_steps);

    backward_through_time(h, state, io, T);
    bs_put_dot(h, io->d_in_write[X], &dha, BS_NO_TRANS, &w, BS_NO_TRANS, &dx);
    bs_put_dot(h, io->d_param_write[W], &dha, BS_TRANS, &x, BS_NO_TRANS, &dw);
    bs_put_column_sums(h, io->d_param_write[BIAS], &dha, &io->d_param[BIAS]);
    /* the states before all steps stand in two pieces: the context slot, then rows 0 .. T-2 */
    const bs_array dha_first = bs_step(&io->inner[DHA], 0), y_context = bs_step(&io->out[Y], -1);
    bs_put_dot(h, io->d_param_write[R], &dha_first, BS_TRANS, &y_context, BS_NO_TRANS, &dr);
    if (T > 1) {
        const bs_array dha_rest = bs_steps(&io->inner[DHA], 1, T - 1),
                       y_rest = bs_steps(&io->out[Y], 0, T - 1);
        const bs_array a = bs_flat(&dha_rest), b = bs_flat(&y_rest);
        bs_dot_add_mm(h, &a, &b, &dr, BS_TRANS, BS_NO_TRANS);
    }
}

const bs_layer_type bs_layer_recurrent = {
    .name = "Recurrent",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(recurrent),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
