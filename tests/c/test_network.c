/* test_network.c - graphs and their errors, layouts as pure functions, networks when memory runs
 * out. */
#include <stdio.h>

#include "bs_test.h"

/* ---- short ways to write a graph ---- */

static void add(bs_graph *g, const char *type, const char *name, bs_error *err)
{
    const bs_setting size = {.name = "size", .kind = BS_NUMBER, .number = 3, .is_integer = 1};
    const int has_size = strcmp(type, "FullyConnected") == 0 || strcmp(type, "Recurrent") == 0;
    bs_graph_add(g, bs_layer_type_find(type), name, has_size, &size, err);
}

static void add_input(bs_graph *g, const char *name, bs_error *err)
{
    static const bs_named_shape data[] = {{"default", {.scale = BS_TIME, .ndim = 1, .dim = {2}}},
                                          {"targets", {.scale = BS_TIME, .ndim = 1, .dim = {3}}}};
    const bs_setting shapes = {.name = "out_shapes", .kind = BS_SHAPES, .n = 2, .shapes = data};
    bs_graph_add(g, bs_layer_type_find("Input"), name, 1, &shapes, err);
}

/* "A.out>B.in" */
static void wire(bs_graph *g, const char *text, bs_error *err)
{
    char start[40], output[40], end[40], input[40];
    CHECK(sscanf(text, "%39[^.].%39[^>]>%39[^.].%39s", start, output, end, input) == 4);
    bs_graph_connect(g, start, output, end, input, err);
}

typedef void fill_function(bs_graph *g, bs_error *err);

/* Builds a network and closes it; returns the error's text. */
static const char *build(fill_function *fill)
{
    static bs_error err;
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_device *device = NULL;
    err = (bs_error){0};
    bs_graph_create(&graph, &err);
    fill(graph, &err);
    if (err.code == BS_OK)
        bs_device_open(&device, "cpu", BS_F32, NULL, &err);
    if (err.code == BS_OK)
        bs_network_create(&net, graph, device, &err);
    bs_network_close(net);
    bs_device_release(device);
    bs_graph_close(graph);
    return err.text;
}

/* ---- errors ---- */

static void without_input(bs_graph *g, bs_error *err)
{
    add(g, "NoOp", "A", err);
}

static void with_two_inputs(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add_input(g, "Other", err);
}

static void with_misnamed_input(bs_graph *g, bs_error *err)
{
    add_input(g, "Data", err);
}

static void with_wire_into_input(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "NoOp", "A", err);
    wire(g, "Input.default>A.default", err);
    wire(g, "A.default>Input.default", err);
}

static void with_cycle(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "Merge", "A", err);
    add(g, "NoOp", "B", err);
    add(g, "NoOp", "C", err);
    wire(g, "Input.default>A.inputs_1", err);
    wire(g, "C.default>A.inputs_2", err);
    wire(g, "A.default>B.default", err);
    wire(g, "B.default>C.default", err);
}

static void with_island(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "NoOp", "A", err);
}

static void with_unknown_target(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    wire(g, "Input.default>Nobody.default", err);
}

static void with_unknown_output(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "NoOp", "A", err);
    wire(g, "Input.defalut>A.default", err);
}

static void with_unknown_port(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "NoOp", "A", err);
    wire(g, "Input.default>A.in", err);
}

static void with_internal_without_partner(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "Dropout", "D", err);
    add(g, "Loss", "L", err);
    wire(g, "Input.default>D.default", err);
    wire(g, "D...internals.mask>L.default", err);
}

static void with_same_name(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "NoOp", "Input", err);
}

BS_TEST(graph_errors)
{
    CHECK_TEXT(build(without_input), "there is no Input layer among the 1 layers of the network");
    CHECK_TEXT(build(with_two_inputs),
               "there must be exactly one Input layer, found 'Input' and 'Other'");
    CHECK_TEXT(build(with_misnamed_input), "the Input layer must be called 'Input', not 'Data'");
    CHECK_TEXT(build(with_wire_into_input),
               "nothing can be wired into the Input layer, but 'A' is");
    CHECK_TEXT(build(with_cycle), "the layers form a cycle: A -> B -> C -> A");
    CHECK_TEXT(build(with_island), "layer 'A' is not connected to the Input layer");
    CHECK_TEXT(build(with_unknown_target), "connection Input.default -> Nobody.default: there is "
                                           "no layer 'Nobody'; there are: Input");
    CHECK_TEXT(build(with_unknown_output),
               "layer 'Input' has no output 'defalut'; it has: default, targets");
    CHECK_TEXT(build(with_unknown_port),
               "layer 'A': NoOp: there is no input 'in'; there are: default");
    CHECK_TEXT(build(with_internal_without_partner),
               "internal 'mask' of layer 'D' cannot be wired: it has no partner 'dmask', "
               "backward only and of its shape, for what flows back");
    CHECK_TEXT(build(with_same_name), "there are two layers called 'Input'");
}

/* ---- layout ---- */

typedef struct plan {
    bs_graph *graph;
    bs_arena arena;
    bs_wiring wiring;
    bs_layout layout;
    bs_error err;
} plan;

static void plan_open(plan *p, fill_function *fill)
{
    *p = (plan){0};
    bs_graph_create(&p->graph, &p->err);
    fill(p->graph, &p->err);
    if (p->err.code == BS_OK)
        bs_wiring_create(&p->wiring, &p->arena, p->graph, &p->err);
    if (p->err.code == BS_OK)
        bs_layout_create(&p->layout, &p->arena, &p->wiring, &p->err);
}

static void plan_close(plan *p)
{
    bs_arena_close(&p->arena);
    bs_graph_close(p->graph);
}

static const bs_leaf *leaf(const plan *p, const char *layer, bs_category category, const char *name)
{
    for (int i = 2; i < p->layout.n_leaves; i++) {
        const bs_leaf *l = &p->layout.leaf[i];
        if (l->category == category && strcmp(l->name, name) == 0 &&
            strcmp(p->wiring.layer[l->layer].name, layer) == 0)
            return l;
    }
    CHECK(!"there is such a leaf");
    return &p->layout.leaf[0];
}

/* Two layers of size 3 side by side with the input of size 2. */
static void side_by_side(bs_graph *g, bs_error *err)
{
    add_input(g, "Input", err);
    add(g, "FullyConnected", "B", err);
    add(g, "Recurrent", "A", err);
    add(g, "Loss", "L", err);
    wire(g, "Input.default>A.default", err);
    wire(g, "Input.default>B.default", err);
    wire(g, "B.default>L.default", err);
    wire(g, "A.default>L.default", err);
    wire(g, "A.default>L.default", err); /* twice counts once */
    wire(g, "Input.default>L.default", err);
}

BS_TEST(layout_puts_joined_sources_side_by_side)
{
    plan p;
    plan_open(&p, side_by_side);
    CHECK_TEXT(p.err.text, "");
    const bs_leaf *a = leaf(&p, "A", BS_OUTPUTS, "default");
    const bs_leaf *b = leaf(&p, "B", BS_OUTPUTS, "default");
    const bs_leaf *in = leaf(&p, "Input", BS_OUTPUTS, "default");
    const bs_leaf *joined = leaf(&p, "L", BS_INPUTS, "default");
    CHECK(a->hub == b->hub && a->hub == in->hub && a->hub == joined->hub);
    CHECK(a->column == 0 && b->column == 3 && in->column == 6 && joined->column == 0);
    CHECK(joined->shape.dim[0] == 8 && joined->shape.context == 0);
    CHECK(p.layout.hub[a->hub].context == 1 && p.layout.hub[a->hub].columns == 8);
    const bs_leaf *back = leaf(&p, "L", BS_INPUT_DELTAS, "default");
    CHECK(back->hub == leaf(&p, "B", BS_OUTPUT_DELTAS, "default")->hub && back->hub != a->hub);
    CHECK(leaf(&p, "B", BS_OUTPUT_DELTAS, "default")->column == 3);
    CHECK(leaf(&p, "Input", BS_OUTPUTS, "targets")->hub != in->hub);
    plan_close(&p);
}

BS_TEST(layout_sorts_parameters_by_path)
{
    plan p;
    plan_open(&p, side_by_side);
    /* A: W (3,2), R (3,3), bias (3); then B: W (3,2), bias (3) */
    CHECK(leaf(&p, "A", BS_PARAMETERS, "W")->column == 0);
    CHECK(leaf(&p, "A", BS_PARAMETERS, "R")->column == 6);
    CHECK(leaf(&p, "A", BS_PARAMETERS, "bias")->column == 15);
    CHECK(leaf(&p, "B", BS_PARAMETERS, "W")->column == 18);
    CHECK(leaf(&p, "B", BS_GRADIENTS, "bias")->column == 24);
    CHECK(p.layout.leaf[BS_LEAF_PARAMETERS].shape.dim[0] == 27);
    plan_close(&p);
}

/* A, B, C and D of size 3, and losses that read some of them together. */
static void four(bs_graph *g, bs_error *err)
{
    static const char *const names[] = {"A", "B", "C", "D"};
    add_input(g, "Input", err);
    for (int i = 0; i < 4; i++) {
        char text[60];
        add(g, "FullyConnected", names[i], err);
        snprintf(text, sizeof text, "Input.default>%s.default", names[i]);
        wire(g, text, err);
    }
    add(g, "Loss", "L1", err);
    add(g, "Loss", "L2", err);
    wire(g, "A.default>L1.default", err);
    wire(g, "C.default>L1.default", err);
    wire(g, "B.default>L2.default", err);
    wire(g, "C.default>L2.default", err);
}

/* The pairs AB, AC and AD cannot all be neighbours. */
static void star(bs_graph *g, bs_error *err)
{
    four(g, err);
    add(g, "Loss", "L3", err);
    wire(g, "D.default>L3.default", err);
    wire(g, "C.default>L3.default", err);
}

BS_TEST(layout_finds_the_first_order_that_serves_all)
{
    plan p;
    plan_open(&p, four); /* A C and B C must be neighbours: A C B */
    CHECK_TEXT(p.err.text, "");
    CHECK(leaf(&p, "A", BS_OUTPUTS, "default")->column == 0);
    CHECK(leaf(&p, "C", BS_OUTPUTS, "default")->column == 3);
    CHECK(leaf(&p, "B", BS_OUTPUTS, "default")->column == 6);
    plan_close(&p);
    plan_open(&p, star);
    CHECK(p.err.code == BS_NETWORK);
    CHECK_TEXT(p.err.text, "no order of the 4 sources that are joined with A.outputs.default puts "
                           "those of every input side by side");
    plan_close(&p);
}

BS_TEST(graph_orders_layers_by_depth_from_the_sinks)
{
    static const char *const expected[] = {"Input", "A", "B", "C", "D", "L1", "L2"};
    plan p;
    plan_open(&p, four); /* D is a sink, like L1 and L2 */
    CHECK(p.wiring.n == 7);
    for (int i = 0; i < 7; i++)
        CHECK_TEXT(p.wiring.layer[i].name, expected[i]);
    plan_close(&p);
}

/* ---- running ---- */

/* Everything from nothing to one update. */
static bs_status live(bs_error *err)
{
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_device *device = NULL;
    bs_stepper *stepper = NULL;
    bs_status status;
    BS_TRY_DONE(bs_graph_create(&graph, err));
    side_by_side(graph, err);
    BS_TRY_DONE(err->code);
    BS_TRY_DONE(bs_device_open(&device, "cpu", BS_F64, NULL, err));
    BS_TRY_DONE(bs_network_create(&net, graph, device, err));
    BS_TRY_DONE(bs_network_resize(net, 3, 4, err));
    BS_TRY_DONE(bs_stepper_create(&stepper, "Nesterov", err));
    BS_TRY_DONE(bs_stepper_start(stepper, net, err));
    BS_TRY_DONE(bs_stepper_run(stepper, err));
done:
    bs_stepper_close(stepper);
    bs_network_close(net);
    bs_device_release(device);
    bs_graph_close(graph);
    return status;
}

BS_TEST(network_survives_missing_memory)
{
    const int64_t before = bs_alloc_live();
    int failures = 0;
    for (;;) {
        bs_error err = {0};
        bs_alloc_fail_at(failures + 1);
        const bs_status status = live(&err);
        bs_alloc_fail_at(0);
        CHECK(bs_alloc_live() == before);
        if (status == BS_OK)
            break;
        CHECK(status == BS_NO_MEMORY && err.text[0]);
        failures++;
    }
    CHECK(failures > 8);
}

BS_TEST(network_is_entered_once)
{
    bs_error err = {0};
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_device *device = NULL;
    bs_graph_create(&graph, &err);
    side_by_side(graph, &err);
    bs_device_open(&device, "cpu", BS_F32, NULL, &err);
    CHECK(bs_network_create(&net, graph, device, &err) == BS_OK);
    CHECK(bs_network_enter(net, &err) == BS_OK);
    CHECK(bs_network_enter(net, &err) == BS_STATE);
    bs_network_leave(net);
    err = (bs_error){0};
    CHECK(bs_network_enter(net, &err) == BS_OK);
    int number;
    CHECK(bs_network_find(net, "A.parameters.R", &number, &err) == BS_OK);
    CHECK(bs_network_find(net, "A.parameters.Q", &number, &err) == BS_KEY);
    CHECK_TEXT(err.text, "there is no buffer 'A.parameters.Q'");
    bs_network_close(net);
    bs_device_release(device);
    bs_graph_close(graph);
}

enum { SIDE = 130 };

static void one_large_matrix(bs_graph *g, bs_error *err)
{
    static const bs_named_shape data = {"default", {.scale = BS_TIME, .ndim = 1, .dim = {SIDE}}};
    const bs_setting shapes = {.name = "out_shapes", .kind = BS_SHAPES, .n = 1, .shapes = &data};
    const bs_setting size = {.name = "size", .kind = BS_NUMBER, .number = SIDE, .is_integer = 1};
    bs_graph_add(g, bs_layer_type_find("Input"), "Input", 1, &shapes, err);
    bs_graph_add(g, bs_layer_type_find("FullyConnected"), "A", 1, &size, err);
    wire(g, "Input.default>A.default", err);
}

static bs_status no_hook(void *context, bs_error *err)
{
    (void)context, (void)err;
    return BS_OK;
}

/* Whether a backward pass after a forward pass updates the matrix of layer 1 and nothing else. */
static int updates_early(bs_network *net, const bs_early_update *update)
{
    bs_error err = {0};
    CHECK(bs_network_forward(net, BS_TRAINING, 0, NULL, &err) == BS_OK);
    CHECK(bs_network_backward(net, update, &err) == BS_OK);
    CHECK(!bs_network_has_updated(net, 1, 1)); /* the bias */
    return bs_network_has_updated(net, 1, 0);
}

BS_TEST(network_updates_early)
{
    enum { N = SIDE * SIDE + SIDE };
    static float velocity[N];
    bs_error err = {0};
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_device *device = NULL, *debug = NULL;
    const bs_array v = bs_array_packed(velocity, BS_F32, 1, (const int64_t[]){N});
    const bs_early_update update = {.rate = 0.1, .momentum = 0.5, .velocity = &v};
    bs_graph_create(&graph, &err);
    one_large_matrix(graph, &err);
    bs_device_open(&device, "cpu", BS_F32, NULL, &err);
    CHECK(bs_debug_open(&debug, device, &err) == BS_OK);
    CHECK(bs_network_create(&net, graph, device, &err) == BS_OK);
    CHECK(!updates_early(net, &update)); /* it takes its memory */
    CHECK(updates_early(net, &update));
    CHECK(!updates_early(net, NULL));
    CHECK(bs_network_resize(net, 2, 3, &err) == BS_OK);
    CHECK(!updates_early(net, &update));
    CHECK(updates_early(net, &update));
    bs_network_set_gradient_hook(net, no_hook, NULL);
    CHECK(!updates_early(net, &update));
    bs_network_set_gradient_hook(net, NULL, NULL);
    CHECK(updates_early(net, &update));
    CHECK(bs_network_set_device(net, debug, &err) == BS_OK);
    CHECK(!updates_early(net, &update) && !updates_early(net, &update));
    bs_network_close(net);
    bs_device_release(debug);
    bs_device_release(device);
    bs_graph_close(graph);
}

BS_TEST(network_changes_its_device)
{
    bs_error err = {0};
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_device *single = NULL, *twice = NULL;
    bs_array parameters;
    const int64_t before = bs_alloc_live();
    bs_graph_create(&graph, &err);
    side_by_side(graph, &err);
    bs_device_open(&single, "cpu", BS_F32, NULL, &err);
    bs_device_open(&twice, "cpu", BS_F64, NULL, &err);
    CHECK(bs_network_create(&net, graph, single, &err) == BS_OK);
    bs_device_release(single); /* the network has its own reference */
    CHECK(bs_network_array(net, BS_LEAF_PARAMETERS, &parameters, NULL, &err) == BS_OK);
    ((float *)parameters.data)[3] = 0.5f;
    CHECK(bs_network_forward(net, BS_TRAINING, 0, NULL, &err) == BS_OK);
    CHECK(bs_network_backward(net, NULL, &err) == BS_OK);
    CHECK(bs_network_has_run(net, 0) && bs_network_has_run(net, 1));
    CHECK(bs_network_set_device(net, twice, &err) == BS_OK);
    CHECK(bs_network_array(net, BS_LEAF_PARAMETERS, &parameters, NULL, &err) == BS_OK);
    CHECK(parameters.dtype == BS_F64 && ((double *)parameters.data)[3] == 0.5);
    CHECK(!bs_network_has_run(net, 0) && !bs_network_has_run(net, 1));
    CHECK(bs_network_forward(net, BS_TRAINING, 0, NULL, &err) == BS_OK);
    bs_network_close(net);
    bs_device_release(twice);
    bs_graph_close(graph);
    CHECK(bs_alloc_live() == before);
}
