/* lstm_passes.c - an LSTM, step by step. */
#include "layers/lstm_passes.h"

enum { X };
enum { Y };
enum { PI, PF, PO }; /* rows of p */
enum { Z, I, F, O }; /* blocks of columns */

void bs_lstm_forward_pass(bs_handler *h, int activation, const bs_io *io,
                          const bs_lstm_parameters *param, const bs_lstm_cells *cells,
                          const bs_array *timing)
{
    const int64_t T = io->in[X].dim[0];
    const bs_array w = bs_matrix(&param->W, 1), r = bs_matrix(&param->R, 1),
                   clocks = bs_timing_row(timing);
    const bs_array x = bs_flat(&io->in[X]), ga = bs_steps(&cells->ga.wide, 0, T),
                   ga_all = bs_flat(&ga), gb = bs_steps(&cells->gb.wide, 0, T),
                   ca = bs_steps(cells->ca, 0, T), cb = bs_steps(cells->cb, 0, T),
                   y = bs_steps(&io->out[Y], 0, T), c_before = bs_step(cells->ca, -1),
                   y_before = bs_step(&io->out[Y], -1);
    bs_linear_act(h, &x, &w, &param->b, &ga_all, BS_LINEAR);
    bs_lstm_forward_steps(h, &r, &clocks, &c_before, &y_before, &param->p, &ga, &gb, &ca, &cb, &y,
                          activation);
    bs_strip_store(h, &cells->ga);
    bs_strip_store(h, &cells->gb);
}

/* The deltas of all gates and cells, from the last step to the first. */
static void back_through_time(bs_handler *h, int activation, const bs_io *io,
                              const bs_lstm_parameters *param, const bs_lstm_cells *cells,
                              const bs_array *timing, const bs_lstm_deltas *back)
{
    const int64_t T = io->in[X].dim[0];
    const bs_lstm_cells *d = &back->d_cells;
    const bs_array r = bs_matrix(&param->R, 1), clocks = bs_timing_row(timing);
    const bs_array c_before = bs_step(cells->ca, -1), ca = bs_steps(cells->ca, 0, T),
                   gb = bs_steps(&cells->gb.wide, 0, T), cb = bs_steps(cells->cb, 0, T),
                   dy = bs_steps(&io->d_out[Y], 0, T), dga = bs_steps(&d->ga.wide, 0, T),
                   dgb = bs_steps(&d->gb.wide, 0, T), dcb = bs_steps(d->cb, 0, T);
    (back->add ? bs_lstm_backward_add_steps
               : bs_lstm_backward_steps)(h, &r, &clocks, &param->p, &c_before, &ca, &gb, &cb, &dy,
                                         d->ca, &dga, &dgb, &dcb, activation);
}

/* dpo += sum over steps of dOa * c. With clocks and something that has flowed into Oa from
 * elsewhere this is the computed cell, not the kept one that Ca holds. */
static void add_output_peephole(bs_handler *h, int64_t T, const bs_lstm_cells *cells, int recompute,
                                const bs_array *dga, const bs_array *dpo)
{
    const bs_array all = bs_steps(cells->ca, 0, T), flat = bs_flat(&all);
    const int64_t n = flat.dim[1];
    if (!recompute) {
        const bs_array doa = bs_step_block(dga, 0, T, O, n);
        bs_mult_sum_add_mm(h, &doa, &flat, dpo);
        return;
    }
    for (int64_t t = 0; t < T; t++) {
        const bs_mark mark = bs_scratch_mark(h);
        const bs_array before = bs_step(cells->ca, t - 1), c = bs_scratch_like(h, &before),
                       doa = bs_step_block(dga, t, 1, O, n);
        const bs_array z = bs_step_block(&cells->gb.wide, t, 1, Z, n),
                       i = bs_step_block(&cells->gb.wide, t, 1, I, n),
                       f = bs_step_block(&cells->gb.wide, t, 1, F, n);
        bs_mult_tt(h, &i, &z, &c);
        bs_mult_add_tt(h, &f, &before, &c);
        bs_mult_sum_add_mm(h, &doa, &c, dpo);
        bs_scratch_release(h, mark);
    }
}

static void peephole_gradients(bs_handler *h, const bs_lstm_cells *cells, const bs_array *timing,
                               const bs_lstm_deltas *back)
{
    const int64_t T = cells->ca->dim[0] - 1;
    const bs_array *dga = &back->d_cells.ga.wide, *dp = &back->d_param.p;
    bs_array row[3];
    for (int k = 0; k < 3; k++)
        row[k] = bs_slice(dp, k, 1);
    bs_put_nothing(h, back->write_p, dp);
    bs_add_products_before(h, dga, I, cells->ca, &row[PI]);
    bs_add_products_before(h, dga, F, cells->ca, &row[PF]);
    add_output_peephole(h, T, cells, timing && back->add, dga, &row[PO]);
}

void bs_lstm_backward_pass(bs_handler *h, int activation, const bs_io *io,
                           const bs_lstm_parameters *param, const bs_lstm_cells *cells,
                           const bs_array *timing, const bs_lstm_deltas *back)
{
    const int64_t T = io->in[X].dim[0];
    const bs_array x = bs_flat(&io->in[X]), dx = bs_flat(&io->d_in[X]);
    const bs_array w = bs_matrix(&param->W, 1), dw = bs_matrix(&back->d_param.W, 1),
                   dr = bs_matrix(&back->d_param.R, 1);
    const bs_array *dga_wide = &back->d_cells.ga.wide, steps = bs_steps(dga_wide, 0, T),
                   dga = bs_flat(&steps);
    back_through_time(h, activation, io, param, cells, timing, back);
    bs_put_dot(h, io->d_in_write[X], &dga, BS_NO_TRANS, &w, BS_NO_TRANS, &dx);
    bs_put_dot(h, back->write_W, &dga, BS_TRANS, &x, BS_NO_TRANS, &dw);
    bs_put_dot_before(h, back->write_R, dga_wide, &io->out[Y], &dr);
    bs_put_column_sums(h, back->write_b, &dga, &back->d_param.b);
    peephole_gradients(h, cells, timing, back);
    bs_strip_store(h, &back->d_cells.ga);
    bs_strip_store(h, &back->d_cells.gb);
}

/* ---- an array for each gate ---- */

enum { WZ, P_I = 4, RZ = 7, BZ = 11 };                                /* parameters */
enum { ZA, ZB, CA = 8, CB, DZA, DZB, DCA = DZA + CA, DCB, N_D = 10 }; /* internals */

bs_status bs_lstm_setup(bs_layer *layer, const bs_recurrent *self, bs_error *err)
{
    static const char *const parameters[] = {"Wz", "Wi", "Wf", "Wo", "pi", "pf", "po", "Rz",
                                             "Ri", "Rf", "Ro", "bz", "bi", "bf", "bo"};
    static const char *const internals[] = {"Za",  "Zb",  "Ia",  "Ib",  "Fa",  "Fb",  "Oa",
                                            "Ob",  "Ca",  "Cb",  "dZa", "dZb", "dIa", "dIb",
                                            "dFa", "dFb", "dOa", "dOb", "dCa", "dCb"};
    const int64_t n = self->size, in = bs_shape_size(&layer->in.buffer[X].shape);
    bs_shape shape = bs_time_shape(n);
    shape.context = 1;
    BS_TRY(bs_add_output(layer, "default", shape, err));
    for (int i = 0; i < 15; i++) {
        const bs_shape of = i < P_I  ? bs_fixed_2d(n, in)
                            : i < RZ ? bs_fixed_2d(1, n)
                            : i < BZ ? bs_fixed_2d(n, n)
                                     : bs_fixed_1d(n);
        BS_TRY(bs_add_parameter(layer, parameters[i], of, 0, err));
    }
    for (int i = 0; i < 2 * N_D; i++) {
        const int strip = 1 + i % 2 + 2 * (i >= DZA); /* all gates' a, b, da, db */
        shape.backward_only = i >= DZA;
        if (i % N_D < CA)
            BS_TRY(bs_add_internal_to_strip(layer, internals[i], shape, strip, err));
        else
            BS_TRY(bs_add_internal(layer, internals[i], shape, err));
    }
    return BS_OK;
}

static bs_lstm_parameters stack_parameters(const bs_array *param)
{
    return (bs_lstm_parameters){.W = bs_stack(&param[WZ], 4),
                                .p = bs_stack(&param[P_I], 3),
                                .R = bs_stack(&param[RZ], 4),
                                .b = bs_stack(&param[BZ], 4)};
}

static bs_lstm_cells open_cells(bs_handler *h, const bs_array *inner)
{
    return (bs_lstm_cells){.ga = bs_strip_open(h, &inner[ZA], 2, 4),
                           .gb = bs_strip_open(h, &inner[ZB], 2, 4),
                           .ca = &inner[CA],
                           .cb = &inner[CB]};
}

void bs_lstm_forward_gates(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                           const bs_array *timing)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_lstm_parameters param = stack_parameters(io->param);
    const bs_lstm_cells cells = open_cells(h, io->inner);
    bs_lstm_forward_pass(h, self->activation, io, &param, &cells, timing);
    bs_scratch_release(h, mark);
}

void bs_lstm_backward_gates(bs_handler *h, const bs_recurrent *self, const bs_io *io,
                            const bs_array *timing)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_lstm_parameters param = stack_parameters(io->param);
    const bs_lstm_cells cells = open_cells(h, io->inner);
    const bs_array *d = io->d_param;
    const bs_write *write = io->d_param_write;
    const bs_lstm_deltas back = {
        .d_param = stack_parameters(d),
        .write_W = bs_stack_write(h, &d[WZ], &write[WZ], 4),
        .write_p = bs_stack_write(h, &d[P_I], &write[P_I], 3),
        .write_R = bs_stack_write(h, &d[RZ], &write[RZ], 4),
        .write_b = bs_stack_write(h, &d[BZ], &write[BZ], 4),
        .d_cells = open_cells(h, &io->inner[DZA]),
        .add = bs_begin_internal_deltas(h, io, DZA, N_D),
    };
    bs_strip_load(h, &cells.gb);
    if (back.add) {
        bs_strip_load(h, &back.d_cells.ga);
        bs_strip_load(h, &back.d_cells.gb);
    }
    bs_lstm_backward_pass(h, self->activation, io, &param, &cells, timing, &back);
    bs_scratch_release(h, mark);
}
