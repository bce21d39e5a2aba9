/* lstm_opt.c - LstmOpt: an Lstm whose gates are blocks of rows of W (4n, in), R (4n, n), p (3, n)
 * and b (4n), in the order z, i, f, o (p: i, f, o). It computes the same. Ga and Gb (4n) are the
 * gates before and after their activations. */
#include "layers/lstm_passes.h"

enum { X };
enum { W, R, P, B };
enum { GA, GB, CA, CB, DGA, DGB, DCA, DCB, N_D = 4 };

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    static const char *const internals[] = {"Ga", "Gb", "Ca", "Cb", "dGa", "dGb", "dCa", "dCb"};
    const bs_recurrent *self = state;
    const int64_t n = self->size;
    bs_shape shape = bs_time_shape(n);
    shape.context = 1;
    if (n > BS_MAX_SIZE / 4)
        return bs_fail(err, BS_LAYER, "size %lld is too large for any memory", (long long)n);
    BS_TRY(bs_add_output(layer, "default", shape, err));
    BS_TRY(bs_add_parameter(layer, "W",
                            bs_fixed_2d(4 * n, bs_shape_size(&layer->in.buffer[X].shape)), 0, err));
    BS_TRY(bs_add_parameter(layer, "R", bs_fixed_2d(4 * n, n), 0, err));
    BS_TRY(bs_add_parameter(layer, "p", bs_fixed_2d(3, n), 0, err));
    BS_TRY(bs_add_parameter(layer, "b", bs_fixed_1d(4 * n), 0, err));
    for (int i = 0; i < 2 * N_D; i++) {
        shape.dim[0] = i % N_D < CA ? 4 * n : n;
        shape.backward_only = i >= DGA;
        BS_TRY(bs_add_internal(layer, internals[i], shape, err));
    }
    return BS_OK;
}

static bs_lstm_parameters parameters(const bs_array *param)
{
    return (bs_lstm_parameters){
        .W = param[W], .R = param[R], .p = bs_matrix(&param[P], 1), .b = param[B]};
}

static bs_lstm_cells cells_of(bs_handler *h, const bs_array *inner)
{
    return (bs_lstm_cells){.ga = bs_strip_open(h, &inner[GA], 1, 1),
                           .gb = bs_strip_open(h, &inner[GB], 1, 1),
                           .ca = &inner[CA],
                           .cb = &inner[CB]};
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_recurrent *self = state;
    const bs_lstm_parameters param = parameters(io->param);
    const bs_lstm_cells cells = cells_of(h, io->inner);
    bs_lstm_forward_pass(h, self->activation, io, &param, &cells, NULL);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_recurrent *self = state;
    const bs_lstm_parameters param = parameters(io->param);
    const bs_lstm_cells cells = cells_of(h, io->inner);
    const bs_lstm_deltas back = {
        .d_param = parameters(io->d_param),
        .write_W = io->d_param_write[W],
        .write_R = io->d_param_write[R],
        .write_p = io->d_param_write[P],
        .write_b = io->d_param_write[B],
        .d_cells = cells_of(h, &io->inner[DGA]),
        .add = bs_begin_internal_deltas(h, io, DGA, N_D),
    };
    bs_lstm_backward_pass(h, self->activation, io, &param, &cells, NULL, &back);
}

const bs_layer_type bs_layer_lstm_opt = {
    .name = "LstmOpt",
    .options = bs_recurrent_options,
    .inputs = bs_recurrent_inputs,
    .state_size = sizeof(bs_recurrent),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
