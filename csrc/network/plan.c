/* plan.c - who writes a view first, what is zeroed, which arrays take a detour, and which layers
 * are dead ends. */
#include "network/plan.h"

#include <string.h>

/* What is known while the steps are planned, in the order in which they run backward. */
typedef struct planner {
    bs_program *program;
    bs_arena *arena;
    char *written;   /* [leaf]: in which passes a consumer has written these deltas of a source */
    char *port_uses; /* [leaf]: in which of them a port of the present step writes them */
    bs_error *err;
} planner;

/* ---- building ---- */

static bs_status make_arrays(planner *p, bs_program_step *step, int l)
{
    static const bs_category order[] = {BS_INPUTS,    BS_OUTPUTS,      BS_PARAMETERS,
                                        BS_INTERNALS, BS_INPUT_DELTAS, BS_OUTPUT_DELTAS,
                                        BS_GRADIENTS};
    const bs_array **const slot[] = {&step->io.in,     &step->io.out,  &step->io.param,
                                     &step->io.inner,  &step->io.d_in, &step->io.d_out,
                                     &step->io.d_param};
    const bs_layer *layer = step->layer;
    const int count[] = {layer->in.n, layer->out.n, layer->param.n, layer->inner.n,
                         layer->in.n, layer->out.n, layer->param.n};
    for (int k = 0; k < 7; k++)
        step->n_arrays += count[k];
    BS_TRY(BS_ARENA_NEW(p->arena, &step->leaf, step->n_arrays, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->array, step->n_arrays, "a program", p->err));
    for (int k = 0, at = 0; k < 7; k++) {
        *slot[k] = step->array + at;
        for (int i = 0; i < count[k]; i++)
            step->leaf[at++] = bs_layout_leaf(p->program->layout, l, order[k], i);
    }
    return BS_OK;
}

static bs_status make_marks(planner *p, bs_program_step *step, int l)
{
    const bs_layer *layer = step->layer;
    int most = layer->out.n + layer->inner.n + layer->param.n;
    for (int i = 0; i < layer->in.n; i++)
        most += p->program->wiring->sources[l][i].n;
    BS_TRY(BS_ARENA_NEW(p->arena, &step->d_in_write, layer->in.n, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->d_in_write_lean, layer->in.n, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->d_param_write, layer->param.n, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->inner_write, layer->inner.n, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->velocity, layer->param.n, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->is_updated, layer->param.n, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->zeroing, most, "a program", p->err));
    BS_TRY(BS_ARENA_NEW(p->arena, &step->detour, step->n_arrays, "a program", p->err));
    step->io.d_param_write = step->d_param_write;
    step->io.inner_write = step->inner_write;
    step->io.velocity = step->velocity;
    step->io.is_updated = step->is_updated;
    return BS_OK;
}

/* ---- planning ---- */

enum { BOTH = BS_WHOLE_PASS | BS_LEAN_PASS };

static void zero(bs_program_step *step, int leaf, int context_only, int passes)
{
    step->zeroing[step->n_zeroings++] = (bs_zeroing){
        .leaf = leaf, .context_only = context_only, .passes = passes};
}

/* In which passes a port that has been planned writes deltas. */
static int passes_of(const bs_program_step *step, int port)
{
    return step->d_in_write_lean[port] == BS_SKIP ? BS_WHOLE_PASS : BOTH;
}

/* Whether a row of the leaf is a pixel of a wider one. */
static int shares_pixels(const bs_layout *layout, int leaf)
{
    const bs_hub *hub = &layout->hub[layout->leaf[leaf].hub];
    return hub->n_sources > 1 && hub->rank > 1;
}

static void detour(bs_program_step *step, int array, int port, bs_write back, bs_write back_lean)
{
    step->detour[step->n_detours++] = (bs_detour){
        .array = array, .port = port, .back = back, .back_lean = back_lean};
}

/* Position in step->array of the deltas of a port. */
static int port_delta_array(const bs_layer *layer, int port)
{
    return layer->in.n + layer->out.n + layer->param.n + layer->inner.n + port;
}

/* Everything that shares pixels with others, but for deltas of ports, which plan_port sees to, and
 * for the outputs of the Input layer, which are filled from outside. */
static void plan_detours(planner *p, bs_program_step *step)
{
    const bs_layout *layout = p->program->layout;
    if (step->layer->type->flags & BS_IS_INPUT)
        return;
    for (int i = 0; i < step->n_arrays; i++)
        if (layout->leaf[step->leaf[i]].category != BS_INPUT_DELTAS &&
            shares_pixels(layout, step->leaf[i]))
            detour(step, i, -1, BS_SET, BS_SET);
}

/* The mark of one port; deltas of its sources that nobody has written are zeroed if others have
 * been. Deltas that an earlier port of the step writes too are added from scratch. */
static void plan_port(planner *p, bs_program_step *step, int l, int port)
{
    const bs_layout *layout = p->program->layout;
    const bs_sources *sources = &p->program->wiring->sources[l][port];
    const int wants_zeroed = (step->layer->type->flags & BS_WANTS_ZEROED) != 0;
    const int array = port_delta_array(step->layer, port);
    int some_written = 0, is_late = 0, all_dead_ends = 1;
    for (int k = 0; k < sources->n; k++) {
        const int delta = layout->partner[bs_source_leaf(layout, &sources->source[k])];
        some_written |= p->written[delta] != 0;
        is_late |= p->port_uses[delta] != 0;
        all_dead_ends &= p->program->step[sources->source[k].layer].is_dead_end;
    }
    const int may_skip = all_dead_ends && !wants_zeroed, passes = may_skip ? BS_WHOLE_PASS : BOTH;
    for (int k = 0; k < sources->n && !is_late; k++) {
        const int delta = layout->partner[bs_source_leaf(layout, &sources->source[k])];
        const int missing = passes & ~p->written[delta];
        if (missing && (some_written || wants_zeroed))
            zero(step, delta, 0, missing);
        p->port_uses[delta] |= (char)passes;
    }
    bs_write write = some_written || wants_zeroed || is_late ? BS_ADD : BS_SET;
    if (is_late || shares_pixels(layout, step->leaf[array])) {
        detour(step, array, port, write, may_skip ? BS_SKIP : write);
        write = wants_zeroed ? BS_ADD : BS_SET;
    }
    step->d_in_write[port] = write;
    step->d_in_write_lean[port] = may_skip ? BS_SKIP : write;
}

/* After the ports have been planned: what they write counts as written. A late port adds, so all of
 * its views must hold something: those that no port before it writes are zeroed. */
static void commit_ports(planner *p, bs_program_step *step, int l)
{
    const bs_layout *layout = p->program->layout;
    for (int port = 0; port < step->layer->in.n; port++) {
        const bs_sources *sources = &p->program->wiring->sources[l][port];
        const int passes = passes_of(step, port);
        if (step->layer->in.buffer[port].flags & BS_NO_DELTA)
            continue;
        for (int k = 0; k < sources->n; k++) {
            const int delta = layout->partner[bs_source_leaf(layout, &sources->source[k])];
            const int missing = passes & ~(p->written[delta] | p->port_uses[delta]);
            if (missing)
                zero(step, delta, 0, missing);
            p->written[delta] |= (char)passes;
        }
    }
    memset(p->port_uses, 0, (size_t)layout->n_leaves);
}

enum { LARGE = 1 << 14 }; /* a parameter that is worth an early update */

/* The layer's own deltas and gradients. */
static void plan_own(planner *p, bs_program_step *step, int l)
{
    const bs_layout *layout = p->program->layout;
    const bs_layer *layer = step->layer;
    const int wants_zeroed = (layer->type->flags & BS_WANTS_ZEROED) != 0;
    for (int i = 0; i < layer->out.n; i++) {
        const int leaf = bs_layout_leaf(layout, l, BS_OUTPUT_DELTAS, i);
        if (!p->written[leaf] || layer->out.buffer[i].shape.context)
            zero(step, leaf, p->written[leaf] != 0, BOTH);
    }
    for (int i = 0; i < layer->inner.n; i++) {
        const int leaf = bs_layout_leaf(layout, l, BS_INTERNALS, i);
        step->inner_write[i] = p->written[leaf] ? BS_ADD : BS_SET;
        if (layer->inner.buffer[i].shape.backward_only && layer->inner.buffer[i].shape.context)
            zero(step, leaf, 1, BOTH);
    }
    for (int i = 0; i < layer->param.n; i++) {
        const int leaf = bs_layout_leaf(layout, l, BS_GRADIENTS, i);
        const int no_gradient = (layer->param.buffer[i].flags & BS_NO_GRADIENT) != 0;
        step->is_large |= bs_shape_size(&layout->leaf[leaf].shape) >= LARGE;
        step->d_param_write[i] = p->written[leaf] || wants_zeroed || no_gradient ? BS_ADD : BS_SET;
        if (!p->written[leaf] && (no_gradient || wants_zeroed))
            zero(step, leaf, 0, BOTH);
    }
}

/* For a layer behind its sources. */
static int is_dead_end(const bs_program *program, int l)
{
    const bs_layer *layer = &program->wiring->layer[l];
    if (layer->type->flags & BS_IS_INPUT)
        return 1;
    if (layer->param.n > 0 || (layer->type->flags & (BS_WANTS_ZEROED | BS_FILLS_INTERNALS)))
        return 0;
    for (int i = 0; i < layer->inner.n; i++)
        if (layer->inner.buffer[i].shape.backward_only)
            return 0;
    for (int port = 0; port < layer->in.n; port++) {
        const bs_sources *sources = &program->wiring->sources[l][port];
        for (int k = 0; k < sources->n && !(layer->in.buffer[port].flags & BS_NO_DELTA); k++)
            if (!program->step[sources->source[k].layer].is_dead_end)
                return 0;
    }
    return 1;
}

bs_status bs_program_create(bs_program *out, bs_arena *arena, const bs_wiring *wiring,
                            const bs_layout *layout, bs_error *err)
{
    planner p = {.program = out, .arena = arena, .err = err};
    *out = (bs_program){.wiring = wiring, .layout = layout};
    BS_TRY(BS_ARENA_NEW(arena, &out->step, wiring->n, "a program", err));
    BS_TRY(BS_ARENA_NEW(arena, &p.written, layout->n_leaves, "a program", err));
    BS_TRY(BS_ARENA_NEW(arena, &p.port_uses, layout->n_leaves, "a program", err));
    for (int l = 0; l < wiring->n; l++)
        out->step[l].is_dead_end = is_dead_end(out, l);
    for (int l = wiring->n - 1; l >= 0; l--) {
        bs_program_step *step = &out->step[l];
        step->layer = &wiring->layer[l];
        BS_TRY(make_arrays(&p, step, l));
        BS_TRY(make_marks(&p, step, l));
        plan_own(&p, step, l);
        plan_detours(&p, step);
        for (int port = 0; port < step->layer->in.n; port++)
            if (!(step->layer->in.buffer[port].flags & BS_NO_DELTA))
                plan_port(&p, step, l, port);
        commit_ports(&p, step, l);
    }
    return BS_OK;
}
