/* recurrent_passes.c - Recurrent and Clockwork, step by step. */
#include "layers/recurrent_passes.h"

enum { X };
enum { Y };
enum { W, R, BIAS };
enum { HA, DHA, DHB }; /* internals */

bs_status bs_recurrent_setup(bs_layer *layer, const bs_recurrent *self, bs_error *err)
{
    const int64_t n = self->size, in = bs_shape_size(&layer->in.buffer[X].shape);
    bs_shape shape = bs_time_shape(n);
    shape.context = 1;
    BS_TRY(bs_add_output(layer, "default", shape, err));
    BS_TRY(bs_add_parameter(layer, "W", bs_fixed_2d(n, in), 0, err));
    BS_TRY(bs_add_parameter(layer, "R", bs_fixed_2d(n, n), 0, err));
    BS_TRY(bs_add_parameter(layer, "bias", bs_fixed_1d(n), 0, err));
    BS_TRY(bs_add_internal(layer, "Ha", shape, err));
    shape.backward_only = 1;
    BS_TRY(bs_add_internal(layer, "dHa", shape, err));
    return bs_add_internal(layer, "dHb", shape, err);
}

void bs_recurrent_forward(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                          const bs_array *timing)
{
    const int64_t T = io->in[X].dim[0];
    const bs_array w = bs_matrix(&io->param[W], 1), r = bs_matrix(&io->param[R], 1);
    const bs_array x = bs_flat(&io->in[X]), ha_steps = bs_steps(&io->inner[HA], 0, T),
                   ha_all = bs_flat(&ha_steps), like = bs_step(&io->out[Y], 0);
    const bs_mark mark = bs_scratch_mark(h);
    const bs_clock clock = bs_clock_open(h, timing, &like);
    bs_linear_act(h, &x, &w, &io->param[BIAS], &ha_all, BS_LINEAR);
    for (int64_t t = 0; t < T; t++) {
        const bs_array ha = bs_step(&io->inner[HA], t);
        const bs_array y = bs_step(&io->out[Y], t), y_before = bs_step(&io->out[Y], t - 1);
        bs_dot_add_mm(h, &y_before, &r, &ha, BS_NO_TRANS, BS_TRANS);
        bs_activate(h, self->activation, &ha, &y);
        bs_clock_set(h, &clock, t);
        if (timing)
            bs_copy_to_if(h, &y_before, &y, &clock.keep);
    }
    bs_scratch_release(h, mark);
}

/* dHa[t] and dHb[t-1] from dHb[t]. */
static void step_back(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                      const bs_clock *clock, const bs_array *updated, int64_t t)
{
    const bs_array y = bs_step(&io->out[Y], t), r = bs_matrix(&io->param[R], 1);
    const bs_array dha = bs_step(&io->inner[DHA], t), dhb = bs_step(&io->inner[DHB], t),
                   dhb_before = bs_step(&io->inner[DHB], t - 1);
    const bs_array *dy = &dhb;
    if (clock->timing) { /* what kept units have is not for their activations */
        bs_copy_to(h, &dhb, updated);
        bs_fill_if(h, updated, 0.0, &clock->keep);
        dy = updated;
    }
    bs_put_activate_deriv(h, io->inner_write[DHA], self->activation, &y, dy, &dha);
    bs_dot_mm(h, &dha, &r, &dhb_before, BS_NO_TRANS, BS_NO_TRANS);
    if (clock->timing)
        bs_add_into_if(h, &dhb, &dhb_before, &clock->keep);
}

void bs_recurrent_backward(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                           const bs_array *timing)
{
    const int64_t T = io->in[X].dim[0];
    const bs_array w = bs_matrix(&io->param[W], 1), dw = bs_matrix(&io->d_param[W], 1);
    const bs_array dr = bs_matrix(&io->d_param[R], 1);
    const bs_array x = bs_flat(&io->in[X]), dx = bs_flat(&io->d_in[X]);
    const bs_array dha_steps = bs_steps(&io->inner[DHA], 0, T), dha = bs_flat(&dha_steps),
                   like = bs_step(&io->out[Y], 0);
    const bs_mark mark = bs_scratch_mark(h);
    const bs_clock clock = bs_clock_open(h, timing, &like);
    const bs_array updated = bs_scratch_like(h, &like);

    for (int64_t t = T - 1; t >= 0; t--) {
        const bs_array dy = bs_step(&io->d_out[Y], t), dhb = bs_step(&io->inner[DHB], t);
        bs_put(h, t == T - 1 ? BS_SET : BS_ADD, &dy, &dhb);
        bs_clock_set(h, &clock, t);
        step_back(h, self, io, &clock, &updated, t);
    }
    bs_put_dot(h, io->d_in_write[X], &dha, BS_NO_TRANS, &w, BS_NO_TRANS, &dx);
    bs_put_dot(h, io->d_param_write[W], &dha, BS_TRANS, &x, BS_NO_TRANS, &dw);
    bs_put_column_sums(h, io->d_param_write[BIAS], &dha, &io->d_param[BIAS]);
    bs_put_dot_before(h, io->d_param_write[R], &io->inner[DHA], &io->out[Y], &dr);
    bs_scratch_release(h, mark);
}
