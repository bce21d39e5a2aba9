/* test_debug.c - the device that checks every call: what it finds, and that it changes nothing. */
#include "bs_test.h"

typedef struct fixture {
    bs_device *cpu, *device;
    bs_stream stream;
    bs_handler h;
    int64_t live; /* allocations before */
} fixture;

static void set_up(fixture *f)
{
    bs_error err = {0};
    f->live = bs_alloc_live();
    CHECK(bs_device_open(&f->cpu, "cpu", BS_F64, NULL, &err) == BS_OK);
    CHECK(bs_debug_open(&f->device, f->cpu, &err) == BS_OK);
    f->stream = (bs_stream){.key = 7};
    bs_handler_init(&f->h, f->device, &f->stream);
}

static void tear_down(fixture *f)
{
    CHECK(f->h.device == f->device && f->h.ops == &f->device->ops);
    bs_handler_close(&f->h);
    bs_device_release(f->cpu);
    bs_device_release(f->device);
    CHECK(bs_alloc_live() == f->live);
}

/* The error of what was done last, which is gone afterwards. */
static const char *take_error(fixture *f, bs_status code)
{
    static bs_error err;
    err = f->h.error;
    f->h.error = (bs_error){0};
    CHECK(err.code == code);
    return err.text;
}

static bs_array vector(double *data, int64_t n)
{
    return bs_array_packed(data, BS_F64, 1, (const int64_t[]){n});
}

BS_TEST(debug_computes_the_same)
{
    fixture f;
    double a[4] = {1, -2, 3, -4}, out[4], mask[4], plain[4], plain_mask[4];
    set_up(&f);
    const bs_array x = vector(a, 4), y = vector(out, 4), m = vector(mask, 4);
    bs_dropout(&f.h, 0.5, &x, &m, &y);
    bs_mult_add_st(&f.h, 3, &y, &x);
    CHECK(f.h.error.code == BS_OK && f.stream.draw == 1);
    bs_stream stream = {.key = 7};
    bs_handler h;
    bs_handler_init(&h, f.cpu, &stream);
    const bs_array b = vector((double[]){1, -2, 3, -4}, 4), z = vector(plain, 4),
                   n = vector(plain_mask, 4);
    bs_dropout(&h, 0.5, &b, &n, &z);
    bs_mult_add_st(&h, 3, &z, &b);
    CHECK(memcmp(out, plain, sizeof out) == 0 && memcmp(mask, plain_mask, sizeof mask) == 0);
    CHECK(memcmp(a, b.data, sizeof a) == 0);
    tear_down(&f);
}

/* What copy_to says about a wrong view. */
static const char *copy_of(fixture *f, bs_array wrong, bs_status code)
{
    double out[4];
    const bs_array dest = bs_array_packed(out, BS_F64, 2, (const int64_t[]){2, 2});
    bs_copy_to(&f->h, &wrong, &dest);
    return take_error(f, code);
}

BS_TEST(debug_looks_at_arrays)
{
    fixture f;
    double a[4] = {0};
    set_up(&f);
    const bs_array good = {
        .data = a, .dim = {2, 2}, .pitch = 2, .ndim = 2, .lead = 1, .dtype = BS_F64};
    bs_array wrong = good;
    CHECK_TEXT(copy_of(&f, wrong, BS_OK), "");
    wrong.dtype = BS_F32;
    CHECK_TEXT(copy_of(&f, wrong, BS_TYPE), "copy_to: 'src' has dtype float32, expected float64");
    wrong = good;
    wrong.lead = 3;
    CHECK_TEXT(copy_of(&f, wrong, BS_VALUE), "copy_to: 'src' has a wrong number of dimensions");
    wrong = good;
    wrong.dim[0] = -2;
    CHECK_TEXT(copy_of(&f, wrong, BS_VALUE), "copy_to: 'src' has a negative size");
    wrong = good;
    wrong.pitch = 1;
    CHECK_TEXT(copy_of(&f, wrong, BS_VALUE), "copy_to: 'src' has rows that overlap each other");
    wrong = good;
    wrong.data = NULL;
    CHECK_TEXT(copy_of(&f, wrong, BS_VALUE), "copy_to: 'src' has no memory");
    CHECK_TEXT(copy_of(&f, bs_slice(&good, 0, 1), BS_VALUE),
               "copy_to: 'dest' has shape (2, 2), expected (1, 2)");
    const bs_array all = vector(a, 4), head = bs_slice(&all, 0, 3), tail = bs_slice(&all, 1, 3);
    bs_copy_to(&f.h, &head, &tail);
    CHECK_TEXT(take_error(&f, BS_VALUE), "copy_to: 'dest' partly overlaps 'src'");
    tear_down(&f);
}

BS_TEST(debug_looks_at_numbers)
{
    fixture f;
    double a[4] = {1, 2, 3, 4}, w[4] = {1, 2, 3, 4}, bias[2] = {0}, out[4];
    set_up(&f);
    const bs_array x = bs_array_packed(a, BS_F64, 2, (const int64_t[]){2, 2}),
                   k = bs_array_packed(w, BS_F64, 2, (const int64_t[]){2, 2}),
                   y = bs_array_packed(out, BS_F64, 2, (const int64_t[]){2, 2}),
                   b = vector(bias, 2);
    bs_clip_t(&f.h, &x, 2, INFINITY, &y);
    CHECK(f.h.error.code == BS_OK && out[0] == 2 && out[3] == 4);
    bs_add_st(&f.h, NAN, &x, &y);
    CHECK_TEXT(take_error(&f, BS_VALUE), "add_st: 's' is NaN");
    bs_dot_mm(&f.h, &x, &k, &y, 0, 2);
    CHECK_TEXT(take_error(&f, BS_VALUE), "dot_mm: 'transb' is 2, which has no meaning");
    bs_linear_act(&f.h, &x, &k, &b, &y, BS_N_ACTIVATIONS);
    CHECK_TEXT(take_error(&f, BS_VALUE), "linear_act: 'activation' is 5, which has no meaning");
    bs_generate_probability_mask(&f.h, &y, 1.5);
    CHECK_TEXT(take_error(&f, BS_VALUE),
               "generate_probability_mask: 'probability' must lie in [0, 1], got 1.5");
    tear_down(&f);
}

BS_TEST(debug_finds_what_is_not_finite)
{
    fixture f;
    double a[6] = {1, 1, 1, 1, 1, 1}, b[6] = {1, 1, 1, 1, 0, 1}, out[6] = {NAN, NAN};
    const int64_t dim[] = {2, 3};
    set_up(&f);
    const bs_array x = bs_array_packed(a, BS_F64, 2, dim), y = bs_array_packed(b, BS_F64, 2, dim),
                   z = bs_array_packed(out, BS_F64, 2, dim);
    bs_divide_tt(&f.h, &x, &y, &z);
    CHECK_TEXT(take_error(&f, BS_VALUE),
               "divide_tt: 'out' holds inf at (1, 1) after the operation");
    bs_divide_tt(&f.h, &x, &y, &x);
    CHECK_TEXT(take_error(&f, BS_VALUE),
               "divide_tt: 'out' holds inf at (1, 1) after the operation");
    a[4] = 1;
    b[5] = -INFINITY;
    out[0] = NAN;
    bs_add_tt(&f.h, &x, &y, &z);
    CHECK_TEXT(take_error(&f, BS_VALUE), "add_tt: 'b' holds -inf at (1, 2) before the operation");
    CHECK(isnan(out[0])); /* it did not run */
    bs_mult_add_tt(&f.h, &x, &x, &z);
    CHECK_TEXT(take_error(&f, BS_VALUE),
               "mult_add_tt: 'out' holds NaN at (0, 0) before the operation");
    bs_fill(&f.h, &z, 0);
    CHECK(f.h.error.code == BS_OK && out[0] == 0);
    CHECK(!f.device->is_fully_finite(&f.h, &y) && f.device->is_fully_finite(&f.h, &x));
    bs_alloc_fail_at(1);
    bs_copy_to(&f.h, &y, &z);
    bs_alloc_fail_at(0);
    CHECK_TEXT(take_error(&f, BS_NO_MEMORY), "copy_to: no memory to search 'src'");
    tear_down(&f);
}

BS_TEST(debug_fails_with_the_operation)
{
    fixture f;
    double ids[2] = {0, 5}, out[4];
    set_up(&f);
    const bs_array v = bs_array_packed(ids, BS_F64, 2, (const int64_t[]){2, 1}),
                   matrix = bs_array_packed(out, BS_F64, 2, (const int64_t[]){2, 2});
    bs_binarize_v(&f.h, &v, &matrix);
    CHECK_TEXT(take_error(&f, BS_INDEX), "binarize_v: id 5 in row 1 is out of range [0, 2)");
    tear_down(&f);
}

BS_TEST(debug_takes_a_missing_delta)
{
    fixture f;
    double images[4] = {1, 2, 3, 4}, deltas[4] = {1, 1, 1, 1}, dw[1], dbias[1], weights[1] = {2};
    const bs_window w = {.stride_rows = 1, .stride_cols = 1};
    const int64_t dim[] = {1, 2, 2, 1}, one[] = {1, 1, 1, 1};
    set_up(&f);
    const bs_array x = bs_array_packed(images, BS_F64, 4, dim),
                   dy = bs_array_packed(deltas, BS_F64, 4, dim),
                   none = bs_array_packed(NULL, BS_F64, 4, dim),
                   k = bs_array_packed(weights, BS_F64, 4, one),
                   dk = bs_array_packed(dw, BS_F64, 4, one), db = vector(dbias, 1);
    bs_conv2d_backward_batch(&f.h, &x, &k, &none, &dy, &dk, &db, &w);
    CHECK(f.h.error.code == BS_OK && dw[0] == 10 && dbias[0] == 4);
    tear_down(&f);
}

BS_TEST(debug_shares_scratch_and_memory)
{
    fixture f;
    double a[3] = {1, 2, 3}, back[3] = {0};
    set_up(&f);
    const bs_array x = vector(a, 3);
    const bs_mark mark = bs_scratch_mark(&f.h);
    const bs_array part = bs_scratch_like(&f.h, &x);
    bs_copy_to(&f.h, &x, &part);
    CHECK(f.device->read(f.device, &part, back, NULL) == BS_OK && back[2] == 3);
    CHECK(f.device->write(f.device, &x, (double[]){4, 5, 6}, NULL) == BS_OK && a[2] == 6);
    bs_scratch_release(&f.h, mark);
    bs_block *block = f.device->allocate(f.device, 100, NULL);
    CHECK(block && block->bytes == 100);
    bs_block_release(block);
    tear_down(&f);
}

BS_TEST(debug_wraps_one_device)
{
    fixture f;
    bs_device *twice;
    bs_error err = {0};
    set_up(&f);
    CHECK_TEXT(f.device->type->name, "debug");
    CHECK(f.device->type->host_memory && f.device->dtype == BS_F64);
    CHECK(bs_debug_open(&twice, f.device, &err) == BS_TYPE && twice == NULL);
    CHECK_TEXT(err.text, "a DebugHandler cannot wrap another one");
    for (int n = 1; n <= 2; n++) {
        err = (bs_error){0};
        bs_alloc_fail_at(n);
        CHECK(bs_debug_open(&twice, f.cpu, &err) == BS_NO_MEMORY && twice == NULL);
        bs_alloc_fail_at(0);
    }
    tear_down(&f);
}

BS_TEST(debug_names_the_layer)
{
    static const bs_named_shape data[] = {{"default", {.scale = BS_TIME, .ndim = 1, .dim = {2}}}};
    const bs_setting shapes = {.name = "out_shapes", .kind = BS_SHAPES, .n = 1, .shapes = data};
    fixture f;
    bs_graph *graph = NULL;
    bs_network *net = NULL;
    bs_array input;
    bs_error err = {0};
    int leaf = 0;
    set_up(&f);
    bs_graph_create(&graph, &err);
    bs_graph_add(graph, bs_layer_type_find("Input"), "Input", 1, &shapes, &err);
    bs_graph_add(graph, bs_layer_type_find("NoOp"), "Same", 0, NULL, &err);
    bs_graph_connect(graph, "Input", "default", "Same", "default", &err);
    CHECK(bs_network_create(&net, graph, f.device, &err) == BS_OK);
    CHECK(bs_network_resize(net, 1, 1, &err) == BS_OK);
    CHECK(bs_network_find(net, "Input.outputs.default", &leaf, &err) == BS_OK);
    CHECK(bs_network_array(net, leaf, &input, NULL, &err) == BS_OK);
    ((double *)input.data)[1] = NAN;
    CHECK(bs_network_forward(net, BS_TRAINING, 0, NULL, &err) == BS_VALUE);
    CHECK_TEXT(err.text,
               "layer 'Same': copy_to: 'src' holds NaN at (0, 0, 1) before the operation");
    bs_network_close(net);
    bs_graph_close(graph);
    tear_down(&f);
}
