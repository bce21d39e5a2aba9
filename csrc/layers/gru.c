/* gru.c - Gru: gated recurrent unit, in the variant whose reset gate acts behind the recurrent
 * product, so that all gates of a step come from one product.
 *
 * r = sigmoid(Wr x + Rr y' + br), z = sigmoid(Wz x + Rz y' + bz), s = Rh y' + bs,
 * h = act(Wh x + bh + r*s), y = (1 - z)*h + z*y'; ' is the step before. Internals Ha Ra Za and Hb
 * Rb Zb are h, r, z before and after their activations, S is s.
 *
 * K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
 * Translation", EMNLP 2014; this variant: their first version, arXiv:1406.1078v1. */
#include "layers/recurrence.h"

enum { X };
enum { Y };
enum { WH, RR = 3, BH = 6, BS = 9, N_PARAMETERS };        /* Wh Wr Wz, Rr Rz Rh, bh br bz, bs */
enum { HA, HB = 4, DHA = 7, DHB = 11, N_INTERNALS = 14 }; /* Ha Ra Za S, Hb Rb Zb, and d... */
enum { H, R, Z, S };                                      /* blocks of n columns */

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    static const char *const parameters[] = {"Wh", "Wr", "Wz", "Rr", "Rz",
                                             "Rh", "bh", "br", "bz", "bs"};
    static const char *const internals[] = {"Ha",  "Ra",  "Za",  "S",  "Hb",  "Rb",  "Zb",
                                            "dHa", "dRa", "dZa", "dS", "dHb", "dRb", "dZb"};
    const bs_recurrent *self = state;
    const int64_t n = self->size, in = bs_shape_size(&layer->in.buffer[X].shape);
    bs_shape shape = bs_time_shape(n);
    shape.context = 1;
    BS_TRY(bs_add_output(layer, "default", shape, err));
    for (int i = 0; i < N_PARAMETERS; i++) {
        const bs_shape of = i < RR   ? bs_fixed_2d(n, in)
                            : i < BH ? bs_fixed_2d(n, n)
                                     : bs_fixed_1d(n);
        BS_TRY(bs_add_parameter(layer, parameters[i], of, 0, err));
    }
    for (int i = 0; i < N_INTERNALS; i++) {
        const int strip = i < HB ? 1 : i < DHA ? 2 : i < DHB ? 3 : 4;
        shape.backward_only = i >= DHA;
        BS_TRY(bs_add_internal_to_strip(layer, internals[i], shape, strip, err));
    }
    return BS_OK;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_recurrent *self = state;
    const int64_t T = io->in[X].dim[0], n = self->size;
    const bs_mark mark = bs_scratch_mark(h);
    const bs_strip ga = bs_strip_open(h, &io->inner[HA], 1, 4),
                   gb = bs_strip_open(h, &io->inner[HB], 1, 3);
    const bs_array from_x = bs_columns(&ga.wide, H * n, 3 * n),
                   from_y = bs_columns(&ga.wide, R * n, 3 * n),
                   s_steps = bs_step_block(&ga.wide, 0, T, S, n);
    const bs_array w_stack = bs_stack(&io->param[WH], 3), w = bs_matrix(&w_stack, 1),
                   r_stack = bs_stack(&io->param[RR], 3), r = bs_matrix(&r_stack, 1),
                   b = bs_stack(&io->param[BH], 3), x = bs_flat(&io->in[X]);
    const bs_array steps = bs_steps(&from_x, 0, T), pre = bs_flat(&steps);
    bs_linear_act(h, &x, &w, &b, &pre, BS_LINEAR);
    bs_fill(h, &s_steps, 0.0);
    for (int64_t t = 0; t < T; t++) {
        const bs_array y = bs_step(&io->out[Y], t), y_before = bs_step(&io->out[Y], t - 1);
        const bs_array into = bs_step(&from_y, t), a = bs_step(&ga.wide, t),
                       post = bs_step(&gb.wide, t);
        bs_dot_add_mm(h, &y_before, &r, &into, BS_NO_TRANS, BS_TRANS);
        bs_gru_forward(h, &y_before, &io->param[BS], &a, &post, &y, self->activation);
    }
    bs_strip_store(h, &ga);
    bs_strip_store(h, &gb);
    bs_scratch_release(h, mark);
}

/* The deltas of all gates, from the last step to the first; the whole dL/dy of two neighbouring
 * steps is in scratch. */
static void back_through_time(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                              const bs_strip *ga, const bs_strip *gb, const bs_strip *dga,
                              const bs_strip *dgb, int add)
{
    const int64_t T = io->in[X].dim[0], n = self->size;
    const bs_array last = bs_step(&io->d_out[Y], T - 1),
                   dy[2] = {bs_scratch_like(h, &last), bs_scratch_like(h, &last)};
    const bs_array r_stack = bs_stack(&io->param[RR], 3), r = bs_matrix(&r_stack, 1),
                   d_from_y = bs_columns(&dga->wide, R * n, 3 * n);
    bs_copy_to(h, &last, &dy[(T - 1) % 2]);
    for (int64_t t = T - 1; t >= 0; t--) {
        const bs_array y_before = bs_step(&io->out[Y], t - 1), *dy_before = &dy[(t + 1) % 2];
        const bs_array a = bs_step(&ga->wide, t), post = bs_step(&gb->wide, t),
                       da = bs_step(&dga->wide, t), d_post = bs_step(&dgb->wide, t),
                       back = bs_step(&d_from_y, t);
        (add ? bs_gru_backward_add : bs_gru_backward)(h, &dy[t % 2], &y_before, &a, &post, &da,
                                                      &d_post, dy_before, self->activation);
        if (t == 0)
            break;
        const bs_array from_above = bs_step(&io->d_out[Y], t - 1);
        bs_add_tt(h, &from_above, dy_before, dy_before);
        bs_dot_add_mm(h, &back, &r, dy_before, BS_NO_TRANS, BS_NO_TRANS);
    }
}

static void parameter_gradients(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                                const bs_array *dga)
{
    const int64_t T = io->in[X].dim[0], n = self->size;
    const bs_array d_from_x = bs_columns(dga, H * n, 3 * n),
                   d_from_y = bs_columns(dga, R * n, 3 * n);
    const bs_array steps = bs_steps(&d_from_x, 0, T), pre = bs_flat(&steps),
                   ds = bs_step_block(dga, 0, T, S, n);
    const bs_array *d = io->d_param, x = bs_flat(&io->in[X]), dx = bs_flat(&io->d_in[X]);
    const bs_array w_stack = bs_stack(&io->param[WH], 3), w = bs_matrix(&w_stack, 1);
    const bs_array dw_stack = bs_stack(&d[WH], 3), dw = bs_matrix(&dw_stack, 1),
                   dr_stack = bs_stack(&d[RR], 3), dr = bs_matrix(&dr_stack, 1),
                   db = bs_stack(&d[BH], 3);
    const bs_write *write = io->d_param_write;
    bs_put_dot(h, io->d_in_write[X], &pre, BS_NO_TRANS, &w, BS_NO_TRANS, &dx);
    bs_put_dot(h, bs_stack_write(h, &d[WH], &write[WH], 3), &pre, BS_TRANS, &x, BS_NO_TRANS, &dw);
    bs_put_dot_before(h, bs_stack_write(h, &d[RR], &write[RR], 3), &d_from_y, &io->out[Y], &dr);
    bs_put_column_sums(h, bs_stack_write(h, &d[BH], &write[BH], 3), &pre, &db);
    bs_put_column_sums(h, write[BS], &ds, &d[BS]);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_strip ga = bs_strip_open(h, &io->inner[HA], 1, 4),
                   gb = bs_strip_open(h, &io->inner[HB], 1, 3),
                   dga = bs_strip_open(h, &io->inner[DHA], 1, 4),
                   dgb = bs_strip_open(h, &io->inner[DHB], 1, 3);
    const int add = bs_begin_internal_deltas(h, io, DHA, N_INTERNALS - DHA);
    bs_strip_load(h, &ga);
    bs_strip_load(h, &gb);
    if (add) {
        bs_strip_load(h, &dga);
        bs_strip_load(h, &dgb);
    }
    back_through_time(h, state, io, &ga, &gb, &dga, &dgb, add);
    parameter_gradients(h, state, io, &dga.wide);
    bs_strip_store(h, &dga);
    bs_strip_store(h, &dgb);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_gru = {
    .name = "Gru",
    .options = bs_recurrent_options,
    .inputs = bs_recurrent_inputs,
    .state_size = sizeof(bs_recurrent),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
