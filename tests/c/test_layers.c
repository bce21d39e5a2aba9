/* test_layers.c - options, ports and declarations of layers. */
#include "bs_test.h"

#include "layers/kit.h"

/* Builds one layer on an input of shape ('T', 'B', 6); returns the error's text. */
static const char *build(const char *type, int n, const bs_setting *settings, const char *port)
{
    static bs_error err;
    const bs_buffer input = {.name = port, .shape = bs_time_shape(6)};
    bs_arena arena = {0};
    bs_layer layer;
    err = (bs_error){0};
    bs_layer_create(&layer, &arena, bs_layer_type_find(type), "Hid", n, settings, port != NULL,
                    &input, &err);
    bs_arena_close(&arena);
    return err.text;
}

static bs_setting number(const char *name, double value, int is_integer)
{
    return (bs_setting){.name = name, .kind = BS_NUMBER, .number = value, .is_integer = is_integer};
}

BS_TEST(layer_types_are_found_by_name)
{
    CHECK(bs_layer_type_find("FullyConnected") != NULL);
    CHECK(bs_layer_type_find("fully_connected") == NULL);
    for (int i = 0; bs_layer_types[i]; i++)
        CHECK(bs_layer_type_find(bs_layer_types[i]->name) == bs_layer_types[i]);
}

BS_TEST(layer_options)
{
    const bs_setting good[] = {number("size", 4, 1),
                               {.name = "activation", .kind = BS_TEXT, .text = "tanh"}};
    const bs_setting unknown = number("sise", 4, 1), fraction = number("size", 2.5, 0);
    const bs_setting negative = number("size", -3, 1), not_a_number = number("size", NAN, 0);
    const bs_setting word = {.name = "activation", .kind = BS_TEXT, .text = "relu"};
    const bs_setting none = {.name = "size", .kind = BS_NONE};
    CHECK_TEXT(build("FullyConnected", 2, good, "default"), "");
    CHECK_TEXT(build("FullyConnected", 1, &none, "default"), "");
    CHECK_TEXT(build("FullyConnected", 1, &unknown, "default"),
               "layer 'Hid': FullyConnected: unknown argument 'sise'; there are: size, "
               "activation");
    CHECK_TEXT(build("FullyConnected", 1, &fraction, "default"),
               "layer 'Hid': FullyConnected: size must be a positive int or a tuple of them, "
               "got 2.5");
    CHECK_TEXT(build("FullyConnected", 1, &negative, "default"),
               "layer 'Hid': FullyConnected: size must be a positive int or a tuple of them, "
               "got -3");
    CHECK_TEXT(build("FullyConnected", 1, &not_a_number, "default"),
               "layer 'Hid': FullyConnected: size must be a positive int or a tuple of them, "
               "got nan");
    CHECK_TEXT(build("FullyConnected", 1, &word, "default"),
               "layer 'Hid': FullyConnected: activation must be one of: linear rel tanh sigmoid "
               "el, got 'relu'");
    CHECK_TEXT(build("Recurrent", 0, NULL, "default"),
               "layer 'Hid': Recurrent: argument 'size' is missing");
    CHECK_TEXT(build("Recurrent", 1, &none, "default"),
               "layer 'Hid': Recurrent: size must be a positive int, got None");
}

BS_TEST(layer_ports)
{
    const bs_setting filters[] = {number("num_filters", 2, 1), number("kernel_size", 3, 1)};
    CHECK_TEXT(build("NoOp", 0, NULL, NULL), "layer 'Hid': NoOp: input 'default' is not connected");
    CHECK_TEXT(build("NoOp", 0, NULL, "in"),
               "layer 'Hid': NoOp: there is no input 'in'; there are: default");
    CHECK_TEXT(build("Convolution2D", 2, filters, "default"),
               "layer 'Hid': Convolution2D: input 'default' has shape ('T', 'B', 6), expected "
               "(T B H W C)");
}

BS_TEST(windows_must_fit)
{
    const bs_shape images = {.scale = BS_TIME, .ndim = 3, .dim = {5, 4, 2}};
    const bs_window fits = {3, 3, 2, 1, 1}, too_large = {7, 2, 1, 1, 0};
    bs_error err = {0};
    bs_shape out;
    CHECK(bs_window_output(&images, &fits, 8, &out, &err) == BS_OK);
    CHECK(out.dim[0] == 3 && out.dim[1] == 4 && out.dim[2] == 8);
    CHECK(bs_window_output(&images, &too_large, 8, &out, &err) == BS_LAYER);
    CHECK_TEXT(err.text, "a window of (7, 2) does not fit on images of (5, 4) with "
                         "padding 0");
}
