/* program.c - runs the steps of a program. */
#include "network/program.h"

void bs_program_refresh(bs_program *program, const bs_buffers *buffers)
{
    for (int l = 0; l < program->wiring->n; l++) {
        bs_program_step *step = &program->step[l];
        for (int i = 0; i < step->n_arrays; i++)
            step->array[i] = bs_buffers_array(buffers, step->leaf[i]);
        for (int i = 0; i < step->n_zeroings; i++) {
            bs_zeroing *z = &step->zeroing[i];
            z->array = bs_buffers_array(buffers, z->leaf);
            if (z->context_only)
                z->array = bs_slice(&z->array, buffers->T, z->array.dim[0] - buffers->T);
        }
    }
}

/* ---- detours ---- */

typedef enum direction { FORWARD, BACKWARD, BACKWARD_LEAN } direction;

/* Whether the array is there at all in a pass of this direction. */
static int takes_part(const bs_program *program, const bs_program_step *step, const bs_detour *d,
                      direction way)
{
    return way != FORWARD || !program->layout->leaf[step->leaf[d->array]].shape.backward_only;
}

/* Whether the layer finds something in the array: what others, or its forward pass, have put there.
 */
static int is_filled(const bs_program *program, const bs_program_step *step, int array,
                     direction way)
{
    const int leaf = step->leaf[array];
    const bs_leaf *l = &program->layout->leaf[leaf];
    if (way == FORWARD)
        return l->category == BS_INPUTS;
    if (l->category == BS_INTERNALS && l->shape.backward_only)
        return step->inner_write[leaf - program->layout->first[l->layer][BS_INTERNALS]] == BS_ADD;
    return 1;
}

/* Whether the layer may have changed the array. */
static int is_written(const bs_program *program, const bs_program_step *step, int array,
                      direction way)
{
    const bs_category category = program->layout->leaf[step->leaf[array]].category;
    return category == BS_INTERNALS || category == (way == FORWARD ? BS_OUTPUTS : BS_OUTPUT_DELTAS);
}

static void copy_context(bs_handler *h, const bs_leaf *leaf, const bs_array *from,
                         const bs_array *to)
{
    const int64_t context = leaf->shape.context;
    const bs_array a = bs_slice(from, from->dim[0] - context, context),
                   b = bs_slice(to, to->dim[0] - context, context);
    bs_copy_to(h, &a, &b);
}

static void begin_detour(const bs_program *program, bs_program_step *step, bs_detour *d,
                         bs_handler *h, direction way)
{
    const bs_leaf *leaf = &program->layout->leaf[step->leaf[d->array]];
    bs_array *array = &step->array[d->array];
    d->real = *array;
    *array = bs_scratch_like(h, &d->real);
    if (!array->data)
        return;
    *array = bs_with_lead(array, (int)leaf->shape.scale);
    if (d->port >= 0) {
        if (step->io.d_in_write[d->port] == BS_ADD)
            bs_fill(h, array, 0.0);
    } else if (is_filled(program, step, d->array, way)) {
        bs_copy_to(h, &d->real, array);
    } else if (leaf->shape.context) {
        copy_context(h, leaf, &d->real, array);
    }
}

static void end_detour(const bs_program *program, bs_program_step *step, bs_detour *d,
                       bs_handler *h, direction way)
{
    bs_array *array = &step->array[d->array];
    const bs_write back = d->port < 0 ? BS_SET : way == BACKWARD_LEAN ? d->back_lean : d->back;
    if (back == BS_ADD)
        bs_add_tt(h, array, &d->real, &d->real);
    else if (back == BS_SET && (d->port >= 0 || is_written(program, step, d->array, way)))
        bs_copy_to(h, array, &d->real);
    *array = d->real;
    d->real.data = NULL;
}

static void begin_step(bs_program *program, bs_program_step *step, bs_handler *h, direction way)
{
    program->running = step;
    h->running = step->layer->name;
    step->mark = bs_scratch_mark(h);
    for (int i = 0; i < step->n_detours; i++)
        if (takes_part(program, step, &step->detour[i], way))
            begin_detour(program, step, &step->detour[i], h, way);
}

static void end_step(bs_program *program, bs_program_step *step, bs_handler *h, direction way)
{
    for (int i = 0; i < step->n_detours; i++)
        if (takes_part(program, step, &step->detour[i], way))
            end_detour(program, step, &step->detour[i], h, way);
    bs_scratch_release(h, step->mark);
    program->running = NULL;
    h->running = NULL;
}

int bs_program_detour(const bs_program *program, int leaf, bs_array *out)
{
    const bs_program_step *step = program->running;
    for (int i = 0; step && i < step->n_detours; i++)
        if (step->leaf[step->detour[i].array] == leaf && step->detour[i].real.data) {
            *out = step->array[step->detour[i].array];
            return 1;
        }
    return 0;
}

/* ---- running ---- */

static int failed(bs_handler *h, const bs_program_step *step)
{
    if (h->error.code == BS_OK)
        return 0;
    if (h->error.code != BS_CALLBACK)
        bs_error_prefix(&h->error, "layer '%s'", step->layer->name);
    return 1;
}

void bs_program_forward(bs_program *program, bs_handler *h, bs_pass pass)
{
    for (int l = 0; l < program->wiring->n; l++) {
        bs_program_step *step = &program->step[l];
        step->io.pass = pass;
        begin_step(program, step, h, FORWARD);
        if (h->error.code == BS_OK && step->layer->type->check)
            step->layer->type->check(h, step->layer->state, &step->io);
        if (h->error.code == BS_OK)
            step->layer->type->forward(h, step->layer->state, &step->io);
        end_step(program, step, h, FORWARD);
        if (failed(h, step))
            return;
    }
}

static void begin_update(const bs_program *program, bs_program_step *step,
                         const bs_early_update *update)
{
    const bs_layout *layout = program->layout;
    const int l = (int)(step - program->step);
    step->io.update = step->is_large ? update : NULL;
    for (int i = 0; step->is_large && i < step->layer->param.n; i++) {
        const bs_leaf *leaf = &layout->leaf[bs_layout_leaf(layout, l, BS_PARAMETERS, i)];
        step->is_updated[i] = 0;
        if (!update)
            continue;
        step->velocity[i] = step->io.param[i];
        step->velocity[i].data =
            bs_slice(update->velocity, leaf->column, bs_shape_size(&leaf->shape)).data;
    }
}

void bs_program_backward(bs_program *program, bs_handler *h, int lean,
                         const bs_early_update *update)
{
    const int pass = lean ? BS_LEAN_PASS : BS_WHOLE_PASS;
    for (int l = program->wiring->n - 1; l >= 0; l--) {
        bs_program_step *step = &program->step[l];
        if (lean && step->is_dead_end)
            continue;
        for (int i = 0; i < step->n_zeroings; i++)
            if (step->zeroing[i].passes & pass)
                bs_fill(h, &step->zeroing[i].array, 0.0);
        step->io.d_in_write = lean ? step->d_in_write_lean : step->d_in_write;
        begin_update(program, step, update);
        begin_step(program, step, h, lean ? BACKWARD_LEAN : BACKWARD);
        if (h->error.code == BS_OK)
            step->layer->type->backward(h, step->layer->state, &step->io);
        step->io.update = NULL;
        end_step(program, step, h, lean ? BACKWARD_LEAN : BACKWARD);
        if (failed(h, step))
            return;
    }
}
