/* xor.c - trains a 2-4-1 network on XOR with the C engine alone.
 *
 *     cmake --preset dev && cmake --build --preset dev && build/dev/xor
 */
#include <stdio.h>

#include "brainstorm.h"

static bs_setting whole(const char *name, int64_t value)
{
    return (bs_setting){.name = name, .kind = BS_NUMBER, .number = (double)value, .is_integer = 1};
}

static bs_setting word(const char *name, const char *text)
{
    return (bs_setting){.name = name, .kind = BS_TEXT, .text = text};
}

/* Input -> Hidden (4 tanh) -> Out (1 linear) -> SquaredError -> Loss */
static bs_status describe(bs_graph *g, bs_error *err)
{
    static const bs_named_shape data[] = {{"default", {.scale = BS_TIME, .ndim = 1, .dim = {2}}},
                                          {"targets", {.scale = BS_TIME, .ndim = 1, .dim = {1}}}};
    const bs_setting shapes = {.name = "out_shapes", .kind = BS_SHAPES, .n = 2, .shapes = data};
    const bs_setting hidden[] = {whole("size", 4), word("activation", "tanh")};
    const bs_setting out[] = {whole("size", 1), word("activation", "linear")};
    BS_TRY(bs_graph_add(g, bs_layer_type_find("Input"), "Input", 1, &shapes, err));
    BS_TRY(bs_graph_add(g, bs_layer_type_find("FullyConnected"), "Hidden", 2, hidden, err));
    BS_TRY(bs_graph_add(g, bs_layer_type_find("FullyConnected"), "Out", 2, out, err));
    BS_TRY(bs_graph_add(g, bs_layer_type_find("SquaredError"), "Error", 0, NULL, err));
    BS_TRY(bs_graph_add(g, bs_layer_type_find("Loss"), "Loss", 0, NULL, err));
    BS_TRY(bs_graph_connect(g, "Input", "default", "Hidden", "default", err));
    BS_TRY(bs_graph_connect(g, "Hidden", "default", "Out", "default", err));
    BS_TRY(bs_graph_connect(g, "Out", "default", "Error", "default", err));
    BS_TRY(bs_graph_connect(g, "Input", "targets", "Error", "targets", err));
    return bs_graph_connect(g, "Error", "loss", "Loss", "default", err);
}

static bs_status fill(bs_network *net, const char *path, int n, const float *values, bs_error *err)
{
    bs_array a;
    int leaf;
    BS_TRY(bs_network_find(net, path, &leaf, err));
    BS_TRY(bs_network_array(net, leaf, &a, NULL, err));
    for (int i = 0; i < n; i++)
        ((float *)a.data)[i] = values[i];
    return BS_OK;
}

static bs_status train(bs_network *net, bs_stepper *stepper, double *loss, bs_error *err)
{
    static const float x[] = {0, 0, 0, 1, 1, 0, 1, 1}, t[] = {0, 1, 1, 0};
    static const float start[] = {/* Hidden W, bias */ .5f,
                                  -.4f,
                                  -.6f,
                                  .7f,
                                  .3f,
                                  .8f,
                                  -.2f,
                                  -.9f,
                                  .1f,
                                  -.1f,
                                  .2f,
                                  0,
                                  /* Out W, bias    */ .4f,
                                  -.5f,
                                  .6f,
                                  -.3f,
                                  0};
    const char *name;
    BS_TRY(bs_network_resize(net, 1, 4, err));
    BS_TRY(fill(net, "parameters", 17, start, err));
    BS_TRY(fill(net, "Input.outputs.default", 8, x, err));
    BS_TRY(fill(net, "Input.outputs.targets", 4, t, err));
    BS_TRY(bs_stepper_set(stepper, "learning_rate", 0.5, err));
    BS_TRY(bs_stepper_start(stepper, net, err));
    for (int i = 0; i < 2000; i++)
        BS_TRY(bs_stepper_run(stepper, err));
    return bs_network_loss(net, 0, &name, loss, err);
}

int main(void)
{
    bs_error err = {0};
    bs_device *device = NULL;
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_stepper *stepper = NULL;
    double loss = 1;
    bs_status status;
    BS_TRY_DONE(bs_device_open(&device, "cpu", BS_F32, NULL, &err));
    BS_TRY_DONE(bs_graph_create(&graph, &err));
    BS_TRY_DONE(describe(graph, &err));
    BS_TRY_DONE(bs_network_create(&net, graph, device, &err));
    BS_TRY_DONE(bs_stepper_create(&stepper, "Sgd", &err));
    BS_TRY_DONE(train(net, stepper, &loss, &err));
    printf("loss after 2000 updates: %g\n", loss);
done:
    if (status != BS_OK)
        fprintf(stderr, "xor: %s\n", err.text);
    bs_stepper_close(stepper);
    bs_network_close(net);
    bs_graph_close(graph);
    bs_device_release(device);
    return status == BS_OK && loss < 1e-3 ? 0 : 1;
}
