/* fallback_recurrent.c - one step of an LSTM or a GRU in terms of required operations, and all
 * steps of an LSTM in terms of single ones. */
#include "handlers/clock.h"
#include "handlers/fallback.h"

/* Block k of the columns of a (B, blocks * n) array. */
static bs_array block(const bs_array *a, int k, int64_t n)
{
    const bs_array m = bs_matrix(a, 1);
    return bs_columns(&m, k * n, n);
}

static bs_array row(const bs_array *a, int k) /* (1, n) */
{
    const bs_array m = bs_matrix(a, a->ndim - 1);
    return bs_slice(&m, k, 1);
}

/* ---- LSTM ---- */

enum { Z, I, F, O, GATES };
enum { PI, PF, PO };

void bs_fallback_lstm_forward(bs_handler *h, bs_a_ c_before, bs_a_ y_before, bs_a_ keep, bs_a_ p,
                              bs_a_ ga, bs_a_ gb, bs_a_ ca, bs_a_ cb, bs_a_ y, int activation)
{
    const int64_t n = ca->dim[1];
    bs_array a[GATES], b[GATES], peephole[3];
    for (int k = 0; k < GATES; k++)
        a[k] = block(ga, k, n), b[k] = block(gb, k, n);
    for (int k = 0; k < 3; k++)
        peephole[k] = row(p, k);
    bs_mult_add_mv(h, c_before, &peephole[PI], &a[I]);
    bs_mult_add_mv(h, c_before, &peephole[PF], &a[F]);
    bs_activate(h, activation, &a[Z], &b[Z]);
    bs_sigmoid(h, &a[I], &b[I]);
    bs_sigmoid(h, &a[F], &b[F]);
    bs_mult_tt(h, &b[I], &b[Z], ca);
    bs_mult_add_tt(h, &b[F], c_before, ca);
    bs_mult_add_mv(h, ca, &peephole[PO], &a[O]);
    bs_sigmoid(h, &a[O], &b[O]);
    bs_activate(h, activation, ca, cb);
    bs_mult_tt(h, &b[O], cb, y);
    bs_copy_to_if(h, c_before, ca, keep);
    bs_copy_to_if(h, y_before, y, keep);
}

void bs_fallback_lstm_backward_add(bs_handler *h, bs_a_ dy, bs_a_ keep, bs_a_ p, bs_a_ c_before,
                                   bs_a_ gb, bs_a_ cb, bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb,
                                   bs_a_ dc_before, int activation)
{
    const int64_t n = dca->dim[1];
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array dy_new = bs_scratch_like(h, dy), dc = bs_scratch_like(h, dy),
                   into = bs_scratch_like(h, dy);
    bs_array b[GATES], da[GATES], db[GATES], peephole[3];
    for (int k = 0; k < GATES; k++)
        b[k] = block(gb, k, n), da[k] = block(dga, k, n), db[k] = block(dgb, k, n);
    for (int k = 0; k < 3; k++)
        peephole[k] = row(p, k);
    const bs_array *const factor[] = {[Z] = &b[I], [I] = &b[Z], [F] = c_before};
    bs_copy_to(h, dy, &dy_new);
    bs_fill_if(h, &dy_new, 0.0, keep);
    bs_mult_add_tt(h, &dy_new, cb, &db[O]);
    bs_activate_deriv_add(h, BS_SIGMOID, &b[O], &db[O], &da[O]);
    bs_mult_add_tt(h, &dy_new, &b[O], dcb);
    bs_copy_to(h, dcb, &into);
    bs_fill(h, dcb, 0.0);
    bs_activate_deriv_add(h, activation, cb, &into, dcb);
    /* dc: what the computed cell passes on; dca: what the cell shows, kept or computed */
    bs_copy_to(h, dca, &dc);
    bs_fill_if(h, &dc, 0.0, keep);
    bs_add_tt(h, dcb, &dc, &dc);
    bs_mult_add_mv(h, &da[O], &peephole[PO], &dc);
    bs_add_into_if(h, dca, dc_before, keep);
    bs_copy_to(h, &dc, &into);
    bs_copy_to_if(h, dca, &into, keep);
    bs_copy_to(h, &into, dca);
    for (int k = Z; k <= F; k++) {
        bs_copy_to(h, &db[k], &into);
        bs_mult_add_tt(h, &dc, factor[k], &into);
        bs_activate_deriv_add(h, k == Z ? activation : BS_SIGMOID, &b[k], &into, &da[k]);
        bs_mult_add_tt(h, dca, factor[k], &db[k]);
    }
    bs_mult_add_tt(h, &dc, &b[F], dc_before);
    bs_mult_add_mv(h, &da[I], &peephole[PI], dc_before);
    bs_mult_add_mv(h, &da[F], &peephole[PF], dc_before);
    bs_scratch_release(h, mark);
}

void bs_fallback_lstm_backward(bs_handler *h, bs_a_ dy, bs_a_ keep, bs_a_ p, bs_a_ c_before,
                               bs_a_ gb, bs_a_ cb, bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb,
                               bs_a_ dc_before, int activation)
{
    bs_fill(h, dga, 0.0);
    bs_fill(h, dgb, 0.0);
    bs_fill(h, dcb, 0.0);
    bs_fill(h, dc_before, 0.0);
    bs_lstm_backward_add(h, dy, keep, p, c_before, gb, cb, dca, dga, dgb, dcb, dc_before,
                         activation);
}

/* ---- all steps of an LSTM ---- */

static bs_array step(const bs_array *a, int64_t t) /* (B, ...) */
{
    const bs_array at = bs_at(a, t);
    return bs_matrix(&at, 1);
}

static bs_clock open_clock(bs_handler *h, bs_a_ timing, const bs_array *like)
{
    return bs_clock_open(h, timing->data ? timing : NULL, like);
}

void bs_fallback_lstm_forward_steps(bs_handler *h, bs_a_ r, bs_a_ timing, bs_a_ c_before,
                                    bs_a_ y_before, bs_a_ p, bs_a_ ga, bs_a_ gb, bs_a_ ca, bs_a_ cb,
                                    bs_a_ y, int activation)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_clock clock = open_clock(h, timing, c_before);
    bs_array c_last = *c_before, y_last = *y_before;
    for (int64_t t = 0; t < y->dim[0]; t++) {
        const bs_array ga_t = step(ga, t), gb_t = step(gb, t), ca_t = step(ca, t),
                       cb_t = step(cb, t), y_t = step(y, t);
        bs_dot_add_mm(h, &y_last, r, &ga_t, 0, 1);
        bs_clock_set(h, &clock, t);
        bs_lstm_forward(h, &c_last, &y_last, &clock.keep, p, &ga_t, &gb_t, &ca_t, &cb_t, &y_t,
                        activation);
        c_last = ca_t, y_last = y_t;
    }
    bs_scratch_release(h, mark);
}

/* The whole dL/dy of two neighbouring steps is in scratch. */
void bs_fallback_lstm_backward_add_steps(bs_handler *h, bs_a_ r, bs_a_ timing, bs_a_ p,
                                         bs_a_ c_before, bs_a_ ca, bs_a_ gb, bs_a_ cb, bs_a_ dy,
                                         bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb, int activation)
{
    const int64_t T = dy->dim[0];
    const bs_mark mark = bs_scratch_mark(h);
    const bs_clock clock = open_clock(h, timing, c_before);
    const bs_array whole[2] = {bs_scratch_like(h, c_before), bs_scratch_like(h, c_before)},
                   last = step(dy, T - 1);
    bs_copy_to(h, &last, &whole[(T - 1) % 2]);
    for (int64_t t = T - 1; t >= 0; t--) {
        const bs_array gb_t = step(gb, t), cb_t = step(cb, t), dga_t = step(dga, t),
                       dgb_t = step(dgb, t), dca_t = step(dca, t), dcb_t = step(dcb, t),
                       c_last = t > 0 ? step(ca, t - 1) : *c_before,
                       dca_last = step(dca, t > 0 ? t - 1 : T);
        bs_clock_set(h, &clock, t);
        bs_lstm_backward_add(h, &whole[t % 2], &clock.keep, p, &c_last, &gb_t, &cb_t, &dca_t,
                             &dga_t, &dgb_t, &dcb_t, &dca_last, activation);
        if (t == 0)
            break;
        const bs_array *dy_last = &whole[(t - 1) % 2], from_above = step(dy, t - 1);
        bs_copy_to(h, &from_above, dy_last);
        bs_dot_add_mm(h, &dga_t, r, dy_last, 0, 0);
        if (clock.timing)
            bs_add_into_if(h, &whole[t % 2], dy_last, &clock.keep);
    }
    bs_scratch_release(h, mark);
}

void bs_fallback_lstm_backward_steps(bs_handler *h, bs_a_ r, bs_a_ timing, bs_a_ p, bs_a_ c_before,
                                     bs_a_ ca, bs_a_ gb, bs_a_ cb, bs_a_ dy, bs_a_ dca, bs_a_ dga,
                                     bs_a_ dgb, bs_a_ dcb, int activation)
{
    bs_fill(h, dca, 0.0);
    bs_fill(h, dga, 0.0);
    bs_fill(h, dgb, 0.0);
    bs_fill(h, dcb, 0.0);
    bs_lstm_backward_add_steps(h, r, timing, p, c_before, ca, gb, cb, dy, dca, dga, dgb, dcb,
                               activation);
}

/* ---- GRU ---- */

enum { H, R, U, S }; /* candidate, reset, update; the recurrent part of the candidate */

void bs_fallback_gru_forward(bs_handler *h, bs_a_ y_before, bs_a_ b, bs_a_ ga, bs_a_ gb, bs_a_ y,
                             int activation)
{
    const int64_t n = y->dim[1];
    const bs_array bias = row(b, 0), s = block(ga, S, n);
    bs_array pre[3], post[3];
    for (int k = 0; k < 3; k++)
        pre[k] = block(ga, k, n), post[k] = block(gb, k, n);
    bs_sigmoid(h, &pre[R], &post[R]);
    bs_sigmoid(h, &pre[U], &post[U]);
    bs_add_mv(h, &s, &bias, &s);
    bs_mult_add_tt(h, &post[R], &s, &pre[H]);
    bs_activate(h, activation, &pre[H], &post[H]);
    bs_subtract_tt(h, y_before, &post[H], y);
    bs_mult_tt(h, &post[U], y, y);
    bs_add_tt(h, &post[H], y, y);
}

void bs_fallback_gru_backward_add(bs_handler *h, bs_a_ dy, bs_a_ y_before, bs_a_ ga, bs_a_ gb,
                                  bs_a_ dga, bs_a_ dgb, bs_a_ dy_before, int activation)
{
    const int64_t n = dy->dim[1];
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array part = bs_scratch_like(h, dy), s = block(ga, S, n), ds = block(dga, S, n);
    bs_array post[3], da[3], db[3];
    for (int k = 0; k < 3; k++)
        post[k] = block(gb, k, n), da[k] = block(dga, k, n), db[k] = block(dgb, k, n);
    bs_mult_tt(h, dy, &post[U], dy_before);
    bs_subtract_tt(h, dy, dy_before, &part);
    bs_add_tt(h, &part, &db[H], &db[H]);
    bs_subtract_tt(h, y_before, &post[H], &part);
    bs_mult_add_tt(h, dy, &part, &db[U]);
    bs_activate_deriv_add(h, BS_SIGMOID, &post[U], &db[U], &da[U]);
    bs_activate_deriv_add(h, activation, &post[H], &db[H], &da[H]);
    bs_mult_add_tt(h, &da[H], &post[R], &ds);
    bs_mult_add_tt(h, &da[H], &s, &db[R]);
    bs_activate_deriv_add(h, BS_SIGMOID, &post[R], &db[R], &da[R]);
    bs_scratch_release(h, mark);
}

void bs_fallback_gru_backward(bs_handler *h, bs_a_ dy, bs_a_ y_before, bs_a_ ga, bs_a_ gb,
                              bs_a_ dga, bs_a_ dgb, bs_a_ dy_before, int activation)
{
    bs_fill(h, dga, 0.0);
    bs_fill(h, dgb, 0.0);
    bs_gru_backward_add(h, dy, y_before, ga, gb, dga, dgb, dy_before, activation);
}
