/* recurrence.c - helpers of layers that run over time. */
#include "layers/recurrence.h"

const bs_option bs_recurrent_options[] = {
    {"size", BS_OPT_INT, offsetof(bs_recurrent, size), NULL, NULL},
    {"activation", BS_OPT_ACTIVATION, offsetof(bs_recurrent, activation), "tanh", NULL},
    {0}};
const bs_port bs_recurrent_inputs[] = {{"default", "T B ...", 0}, {0}};

/* ---- several arrays as one ---- */

bs_array bs_stack(const bs_array *first, int n)
{
    bs_array out = *first;
    for (int i = 1; i < n; i++) {
        BS_ASSERT(bs_continues(&first[i - 1], &first[i]));
        out.dim[0] += first[i].dim[0];
    }
    out.pitch = bs_cols(&out);
    return out;
}

bs_write bs_stack_write(bs_handler *h, const bs_array *first, const bs_write *write, int n)
{
    bs_write all = BS_SET;
    for (int i = 0; i < n; i++)
        if (write[i] == BS_ADD)
            all = BS_ADD;
    for (int i = 0; i < n && all == BS_ADD; i++)
        bs_put_nothing(h, write[i], &first[i]);
    return all;
}

/* ---- strips ---- */

bs_strip bs_strip_open(bs_handler *h, const bs_array *first, int step, int n)
{
    bs_strip s = {.wide = *first, .part = first, .step = step, .n = n};
    s.wide.dim[s.wide.ndim - 1] *= n;
    for (int i = 1; i < n; i++)
        s.is_copy |= !bs_continues(&first[(i - 1) * step], &first[i * step]);
    if (s.is_copy)
        s.wide = bs_scratch_like(h, &s.wide);
    return s;
}

static void copy_parts(bs_handler *h, const bs_strip *s, int load)
{
    const int64_t T = s->wide.dim[0] - 1, size = s->part->dim[s->part->ndim - 1];
    for (int i = 0; i < s->n && s->is_copy; i++) {
        const bs_array steps = bs_steps(&s->part[i * s->step], 0, T), part = bs_flat(&steps);
        const bs_array block = bs_step_block(&s->wide, 0, T, i, size);
        bs_copy_to(h, load ? &part : &block, load ? &block : &part);
    }
}

void bs_strip_load(bs_handler *h, const bs_strip *strip)
{
    copy_parts(h, strip, 1);
}

void bs_strip_store(bs_handler *h, const bs_strip *strip)
{
    copy_parts(h, strip, 0);
}

int bs_begin_internal_deltas(bs_handler *h, const bs_io *io, int first, int n)
{
    int any = 0;
    for (int i = first; i < first + n; i++)
        any |= io->inner_write[i] == BS_ADD;
    for (int i = first; i < first + n && any; i++) {
        const bs_array steps = bs_steps(&io->inner[i], 0, io->inner[i].dim[0] - 1);
        bs_put_nothing(h, io->inner_write[i], &steps);
    }
    return any;
}

/* ---- states before all steps ---- */

bs_array bs_step_block(const bs_array *a, int64_t start, int64_t count, int block, int64_t n)
{
    const bs_array steps = bs_steps(a, start, count), flat = bs_flat(&steps);
    return bs_columns(&flat, block * n, n);
}

void bs_put_dot_before(bs_handler *h, bs_write write, const bs_array *d, const bs_array *state,
                       const bs_array *out)
{
    const int64_t T = d->dim[0] - 1;
    const bs_array d_first = bs_step(d, 0), context = bs_step(state, -1);
    bs_put_dot(h, write, &d_first, BS_TRANS, &context, BS_NO_TRANS, out);
    if (T > 1) {
        const bs_array d_rest = bs_steps(d, 1, T - 1), rest = bs_steps(state, 0, T - 1);
        const bs_array a = bs_flat(&d_rest), b = bs_flat(&rest);
        bs_dot_add_mm(h, &a, &b, out, BS_TRANS, BS_NO_TRANS);
    }
}

void bs_add_products_before(bs_handler *h, const bs_array *deltas, int block, const bs_array *state,
                            const bs_array *out)
{
    const int64_t T = state->dim[0] - 1, n = state->dim[2];
    const bs_array d_first = bs_step_block(deltas, 0, 1, block, n), context = bs_step(state, -1);
    bs_mult_sum_add_mm(h, &d_first, &context, out);
    if (T > 1) {
        const bs_array d_rest = bs_step_block(deltas, 1, T - 1, block, n),
                       rest = bs_steps(state, 0, T - 1), before = bs_flat(&rest);
        bs_mult_sum_add_mm(h, &d_rest, &before, out);
    }
}

/* ---- clocks ---- */

void bs_clock_check(bs_handler *h, const bs_array *timing)
{
    const bs_mark mark = bs_scratch_mark(h);
    const bs_array logarithm = bs_scratch_like(h, timing);
    bs_log_t(h, timing, &logarithm); /* is finite for positive finite numbers only */
    bs_expect_finite(h, &logarithm, "all numbers of parameter 'timing' must be finite and above 0");
    bs_scratch_release(h, mark);
}
