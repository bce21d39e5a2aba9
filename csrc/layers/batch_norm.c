/* batch_norm.c - BatchNorm over the last dimension of size C, the n other elements of each channel
 * being the sample. S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.
 *
 * Training:  mu_b = -mean(x) (the NEGATIVE mean), sigma_b = sqrt(mean((x + mu_b)^2) + epsilon),
 *            mu = decay*mu + (1 - decay)*mu_b, sigma likewise.
 * Inference: mu_b = mu, sigma_b = sigma.
 * Both:      centered = x + mu_b, x_hat = centered / sigma_b, y = gamma*x_hat + beta.
 * Backward:  dx = gamma/sigma_b * (dy - mean(dy) - x_hat*mean(dy*x_hat)) after training,
 * gamma/sigma_b * dy after inference; dgamma = sum(dy*x_hat), dbeta = sum(dy). */
#include "layers/kit.h"

enum { X };
enum { Y };
enum { GAMMA, BETA, MU, SIGMA };
enum { SIGMA_B, CENTERED, X_HAT };

typedef struct {
    double decay, epsilon;
} batch_norm;

static const bs_option options[] = {
    {"decay", BS_OPT_NUMBER, offsetof(batch_norm, decay), "0.9", NULL},
    {"epsilon", BS_OPT_NUMBER, offsetof(batch_norm, epsilon), "1e-5", NULL},
    {0}};
static const bs_port inputs[] = {{"default", "T B F ...", 0}, {0}};

static bs_status setup(bs_layer *layer, void *state, bs_error *err)
{
    const batch_norm *self = state;
    const bs_shape x = layer->in.buffer[X].shape, channels = bs_fixed_1d(x.dim[x.ndim - 1]);
    if (self->decay < 0 || self->decay > 1)
        return bs_fail(err, BS_LAYER, "decay must lie in [0, 1], got %g", self->decay);
    if (self->epsilon <= 0)
        return bs_fail(err, BS_LAYER, "epsilon must be positive, got %g", self->epsilon);
    BS_TRY(bs_add_output(layer, "default", x, err));
    BS_TRY(bs_add_parameter(layer, "gamma", channels, 0, err));
    BS_TRY(bs_add_parameter(layer, "beta", channels, 0, err));
    BS_TRY(bs_add_parameter(layer, "mu", channels, BS_NO_GRADIENT, err));
    BS_TRY(bs_add_parameter(layer, "sigma", channels, BS_NO_GRADIENT, err));
    BS_TRY(bs_add_internal(layer, "sigma_b", channels, err));
    BS_TRY(bs_add_internal(layer, "centered", x, err));
    return bs_add_internal(layer, "x_hat", x, err);
}

/* running = decay*running + (1 - decay)*now */
static void follow(bs_handler *h, double decay, const bs_array *now, const bs_array *running)
{
    const int was_updating = h->is_updating;
    h->is_updating = 1; /* these are parameters */
    bs_mult_st(h, decay, running, running);
    bs_mult_add_st(h, 1 - decay, now, running);
    h->is_updating = was_updating;
}

static void forward(bs_handler *h, const void *state, const bs_io *io)
{
    const batch_norm *self = state;
    const bs_array x = bs_pixels(&io->in[X]), y = bs_pixels(&io->out[Y]);
    const bs_array centered = bs_pixels(&io->inner[CENTERED]), x_hat = bs_pixels(&io->inner[X_HAT]);
    const bs_array gamma = bs_vector(&io->param[GAMMA]), beta = bs_vector(&io->param[BETA]);
    const bs_array mu = bs_vector(&io->param[MU]), sigma = bs_vector(&io->param[SIGMA]);
    const bs_array sigma_b = bs_vector(&io->inner[SIGMA_B]);
    const double n = (double)x.dim[0];
    const bs_mark mark = bs_scratch_mark(h);

    if (io->pass == BS_TRAINING) {
        const bs_array mu_b = bs_scratch_like(h, &mu);
        bs_sum_t(h, &x, 0, &mu_b);
        bs_mult_st(h, -1 / n, &mu_b, &mu_b);
        bs_add_mv(h, &x, &mu_b, &centered);
        bs_mult_tt(h, &centered, &centered, &x_hat); /* borrowed for the squares */
        bs_sum_t(h, &x_hat, 0, &sigma_b);
        bs_mult_st(h, 1 / n, &sigma_b, &sigma_b);
        bs_add_st(h, self->epsilon, &sigma_b, &sigma_b);
        bs_sqrt_t(h, &sigma_b, &sigma_b);
        follow(h, self->decay, &mu_b, &mu);
        follow(h, self->decay, &sigma_b, &sigma);
    } else {
        bs_add_mv(h, &x, &mu, &centered);
        bs_copy_to(h, &sigma, &sigma_b);
    }
    bs_divide_mv(h, &centered, &sigma_b, &x_hat);
    bs_mult_mv(h, &x_hat, &gamma, &y);
    bs_add_mv(h, &y, &beta, &y);
    bs_scratch_release(h, mark);
}

static void backward(bs_handler *h, const void *state, const bs_io *io)
{
    const bs_array dx = bs_pixels(&io->d_in[X]), dy = bs_pixels(&io->d_out[Y]);
    const bs_array x_hat = bs_pixels(&io->inner[X_HAT]), sigma_b = bs_vector(&io->inner[SIGMA_B]);
    const bs_array gamma = bs_vector(&io->param[GAMMA]);
    const double n = (double)dy.dim[0];
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, &dy), sum_dy = bs_scratch_like(h, &gamma);
    const bs_array sum_dy_x_hat = bs_scratch_like(h, &gamma);
    (void)state;

    bs_sum_t(h, &dy, 0, &sum_dy);
    bs_mult_tt(h, &dy, &x_hat, &part);
    bs_sum_t(h, &part, 0, &sum_dy_x_hat);
    const bs_array dgamma = bs_vector(&io->d_param[GAMMA]), dbeta = bs_vector(&io->d_param[BETA]);
    bs_put(h, io->d_param_write[GAMMA], &sum_dy_x_hat, &dgamma);
    bs_put(h, io->d_param_write[BETA], &sum_dy, &dbeta);

    if (io->pass == BS_TRAINING) {
        bs_mult_st(h, -1 / n, &sum_dy, &sum_dy);
        bs_mult_st(h, -1 / n, &sum_dy_x_hat, &sum_dy_x_hat);
        bs_mult_mv(h, &x_hat, &sum_dy_x_hat, &part);
        bs_add_mv(h, &part, &sum_dy, &part);
        bs_add_tt(h, &dy, &part, &part);
    } else {
        bs_copy_to(h, &dy, &part);
    }
    bs_divide_mv(h, &part, &sigma_b, &part);
    bs_mult_mv(h, &part, &gamma, &part);
    bs_put(h, io->d_in_write[X], &part, &dx);
    bs_scratch_release(h, mark);
}

const bs_layer_type bs_layer_batch_norm = {
    .name = "BatchNorm",
    .options = options,
    .inputs = inputs,
    .state_size = sizeof(batch_norm),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
