/* activation.c - activation functions by name and number. */
#include "handlers/activation.h"

#include "handlers/handler.h"

const char *const bs_activation_names[BS_N_ACTIVATIONS] = {"linear", "rel", "tanh", "sigmoid",
                                                           "el"};

void bs_activate(bs_handler *h, int activation, bs_a_ x, bs_a_ y)
{
    switch ((bs_activation)activation) {
    case BS_REL: bs_rel(h, x, y); break;
    case BS_TANH: bs_tanh(h, x, y); break;
    case BS_SIGMOID: bs_sigmoid(h, x, y); break;
    case BS_EL: bs_el(h, x, y); break;
    default:
        if (!bs_is_same_view(x, y))
            bs_copy_to(h, x, y);
    }
}

void bs_activate_deriv(bs_handler *h, int activation, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    switch ((bs_activation)activation) {
    case BS_REL: bs_rel_deriv(h, y, y, dy, dx); break;
    case BS_TANH: bs_tanh_deriv(h, y, y, dy, dx); break;
    case BS_SIGMOID: bs_sigmoid_deriv(h, y, y, dy, dx); break;
    case BS_EL: bs_el_deriv(h, y, y, dy, dx); break;
    default:
        if (!bs_is_same_view(dy, dx))
            bs_copy_to(h, dy, dx);
    }
}

void bs_activate_deriv_add(bs_handler *h, int activation, bs_a_ y, bs_a_ dy, bs_a_ dx)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, dx);
    bs_activate_deriv(h, activation, y, dy, &part);
    bs_add_tt(h, &part, dx, dx);
    bs_scratch_release(h, mark);
}
