/* layer_norm.c - LayerNorm over the last dimension of size C, each row by itself, in training and
 * inference alike. J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization",
 * arXiv:1607.06450, 2016.
 *
 * Forward:  sigma_b = sqrt(mean((x - mean(x))^2) + epsilon), x_hat = (x - mean(x)) / sigma_b,
 *           y = gamma*x_hat + beta; means over a row.
 * Backward: with g = gamma*dy, dx = (g - mean(g) - x_hat*mean(g*x_hat)) / sigma_b;
 *           dgamma = sum(dy*x_hat), dbeta = sum(dy), sums over all rows. */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { GAMMA, BETA };
enum { SIGMA_B, X_HAT };

typedef struct {
    double epsilon;
} layer_norm;

static const bs_option options[] = {
    {"epsilon", BS_OPT_NUMBER, offsetof(layer_norm, epsilon), "1e-5", NULL}, {0}};
static const bs_port inputs[] = {{"default", "T B F ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const layer_norm *self = state;
    const bs_shape x = layer->in.buffer[X].shape, channels = bs_fixed_1d(x.dim[x.ndim - 1]);
    bs_shape one = x;
    one.dim[one.ndim - 1] = 1;
    if (self->epsilon <= 0)
        return bs_fail(err, BS_LAYER, "epsilon must be positive, got %g", self->epsilon);
    BS_TRY(bs_add_output(layer, "default", x, err));
    BS_TRY(bs_add_parameter(layer, "gamma", channels, 0, err));
    BS_TRY(bs_add_parameter(layer, "beta", channels, 0, err));
    BS_TRY(bs_add_internal(layer, "sigma_b", one, err));
    return bs_add_internal(layer, "x_hat", x, err);
}

/* out (M, 1) = factor/C * sum over each row of a (M, C) */
static void scaled_row_means(bs_handler *h, double factor, const bs_array *a, const bs_array *out)
{
    bs_sum_t(h, a, 1, out);
    bs_mult_st(h, factor / (double)a->dim[1], out, out);
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const layer_norm *self = state;
    const bs_array x = bs_pixels(&io->in[X]), y = bs_pixels(&io->out[Y]);
    const bs_array sigma_b = bs_pixels(&io->inner[SIGMA_B]), x_hat = bs_pixels(&io->inner[X_HAT]);
    const bs_array gamma = bs_vector(&io->param[GAMMA]), beta = bs_vector(&io->param[BETA]);
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array mean = bs_scratch_like(h, &sigma_b);

    scaled_row_means(h, 1.0, &x, &mean);
    bs_subtract_mv(h, &x, &mean, &x_hat);
    bs_mult_tt(h, &x_hat, &x_hat, &y); /* borrowed for the squares */
    scaled_row_means(h, 1.0, &y, &sigma_b);
    bs_add_st(h, self->epsilon, &sigma_b, &sigma_b);
    bs_sqrt_t(h, &sigma_b, &sigma_b);
    bs_divide_mv(h, &x_hat, &sigma_b, &x_hat);
    bs_mult_mv(h, &x_hat, &gamma, &y);
    bs_add_mv(h, &y, &beta, &y);
    bs_scratch_release(h, mark);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array dx = bs_pixels(&io->d_in[X]), dy = bs_pixels(&io->d_out[Y]);
    const bs_array sigma_b = bs_pixels(&io->inner[SIGMA_B]), x_hat = bs_pixels(&io->inner[X_HAT]);
    const bs_array gamma = bs_vector(&io->param[GAMMA]);
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, &dy), g = bs_scratch_like(h, &dy);
    const bs_array mean = bs_scratch_like(h, &sigma_b);
    (void)state;

    bs_mult_tt(h, &dy, &x_hat, &part);
    bs_put_column_sums(h, io->d_param_write[GAMMA], &part, &io->d_param[GAMMA]);
    bs_put_column_sums(h, io->d_param_write[BETA], &dy, &io->d_param[BETA]);

    bs_mult_mv(h, &dy, &gamma, &g);
    bs_mult_tt(h, &g, &x_hat, &part);
    scaled_row_means(h, -1.0, &part, &mean);
    bs_mult_mv(h, &x_hat, &mean, &part);
    scaled_row_means(h, -1.0, &g, &mean);
    bs_add_mv(h, &part, &mean, &part);
    bs_add_tt(h, &g, &part, &part);
    bs_divide_mv(h, &part, &sigma_b, &part);
    bs_put(h, io->d_in_write[X], &part, &dx);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_layer_norm = {
    .name = "LayerNorm",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(layer_norm),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
