/* test_handlers.c - devices, handles, scratch, the list of operations, and fusions against their
 * fallbacks. */
#include "handlers/fallback.h"

#include "bs_test.h"

/* ---- a handle to test with ---- */

typedef struct fixture {
    bs_device *device;
    bs_stream stream;
    bs_handler h;
} fixture;

static void set_up(fixture *f, bs_dtype dtype)
{
    bs_error err = {0};
    CHECK(bs_device_open(&f->device, "cpu", dtype, NULL, &err) == BS_OK);
    f->stream = (bs_stream){.key = 7, .draw = 3};
    bs_handler_init(&f->h, f->device, &f->stream);
}

static void tear_down(fixture *f)
{
    bs_handler_close(&f->h);
    bs_device_release(f->device);
}

/* ---- devices ---- */

BS_TEST(handler_names)
{
    bs_device *device;
    bs_error err = {0};
    CHECK_TEXT(bs_handler_names[0], "cpu");
    CHECK(bs_device_open(&device, "abacus", BS_F32, NULL, &err) == BS_KEY && device == NULL);
    CHECK_TEXT(err.text, "there is no handler 'abacus'");
    CHECK(bs_handler_info("cpu", "instruction_set") != NULL);
    CHECK(bs_handler_info("cpu", "colour") == NULL && bs_handler_info("abacus", "blas") == NULL);
}

static int closed;

static bs_status open_nothing(bs_device *device, bs_error *err)
{
    (void)device, (void)err;
    return BS_OK;
}

static void close_nothing(bs_device *device)
{
    (void)device;
    closed++;
}

BS_TEST(handler_with_a_hole)
{
    const bs_handler_type type = {.name = "half", .open = open_nothing, .close = close_nothing};
    bs_device *device;
    bs_error err = {0};
    const int64_t live = bs_alloc_live();
    closed = 0;
    CHECK(bs_device_open_type(&device, &type, BS_F32, NULL, &err) == BS_DEVICE && device == NULL);
    CHECK_TEXT(err.text, "handler 'half' has no operation 'copy_to'");
    CHECK(closed == 1 && bs_alloc_live() == live);
    bs_alloc_fail_at(1);
    err.code = BS_OK;
    CHECK(bs_device_open_type(&device, &type, BS_F32, NULL, &err) == BS_NO_MEMORY);
    bs_alloc_fail_at(0);
}

BS_TEST(handler_memory)
{
    fixture f;
    double memory[24] = {0};
    const double host[6] = {1, 2, 3, 4, 5, 6};
    double back[6] = {0};
    const int64_t live = bs_alloc_live();
    set_up(&f, BS_F64);
    const bs_array a = {
        .data = memory + 1, .dim = {2, 3}, .pitch = 8, .ndim = 2, .lead = 1, .dtype = BS_F64};
    CHECK(f.device->write(f.device, &a, host, NULL) == BS_OK);
    CHECK(memory[1] == 1 && memory[3] == 3 && memory[9] == 4 && memory[11] == 6 && memory[4] == 0 &&
          memory[12] == 0);
    CHECK(f.device->read(f.device, &a, back, NULL) == BS_OK &&
          memcmp(host, back, sizeof back) == 0);
    bs_block *block = f.device->allocate(f.device, 1000, NULL);
    CHECK(block && block->bytes == 1000 && (uintptr_t)block->data % BS_ALIGNMENT == 0);
    bs_block_release(block);
    tear_down(&f);
    CHECK(bs_alloc_live() == live);
}

BS_TEST(handler_error_is_sticky)
{
    fixture f;
    float v[2] = {0, 5}, out[4] = {9, 9, 9, 9};
    set_up(&f, BS_F32);
    const bs_array ids = bs_array_packed(v, BS_F32, 2, (const int64_t[]){2, 1});
    const bs_array matrix = bs_array_packed(out, BS_F32, 2, (const int64_t[]){2, 2});
    bs_binarize_v(&f.h, &ids, &matrix);
    CHECK(f.h.error.code == BS_INDEX);
    CHECK_TEXT(f.h.error.text, "binarize_v: id 5 in row 1 is out of range [0, 2)");
    out[0] = 7;
    bs_fill(&f.h, &matrix, 1.0);
    CHECK(out[0] == 7); /* nothing happens any more */
    f.h.error.code = BS_OK;
    bs_fill(&f.h, &matrix, 1.0);
    CHECK(out[0] == 1);
    tear_down(&f);
}

/* ---- scratch ---- */

BS_TEST(scratch_repeats)
{
    fixture f;
    void *first[20];
    set_up(&f, BS_F32);
    for (int pass = 0; pass < 3; pass++) {
        const bs_mark mark = bs_scratch_mark(&f.h);
        const int64_t before = bs_alloc_count();
        for (int i = 0; i < 20; i++) {
            char *memory = bs_scratch_take(&f.h, (size_t)(1 + i * 10007));
            CHECK(memory && (uintptr_t)memory % BS_ALIGNMENT == 0);
            CHECK(pass == 0 || memory == first[i]);
            memset(memory, i, (size_t)(1 + i * 10007));
            first[i] = memory;
        }
        for (int i = 0; i < 20; i++)
            CHECK(*(char *)first[i] == i && ((char *)first[i])[i * 10007] == i);
        CHECK(pass == 0 || bs_alloc_count() == before);
        bs_scratch_release(&f.h, mark);
    }
    const int64_t dim[] = {3, 5};
    const bs_array packed = bs_array_packed(bs_scratch_take(&f.h, 60), BS_F32, 2, dim);
    const bs_array matrix = bs_with_lead(&packed, 1), like = bs_scratch_like(&f.h, &matrix);
    CHECK(matrix.pitch == 5 && bs_same_shape(&matrix, &like) && !bs_overlaps(&matrix, &like));
    tear_down(&f);
}

BS_TEST(scratch_without_memory)
{
    fixture f;
    set_up(&f, BS_F32);
    bs_alloc_fail_at(1);
    CHECK(bs_scratch_take(&f.h, 100) == NULL);
    bs_alloc_fail_at(0);
    CHECK(f.h.error.code == BS_NO_MEMORY);
    CHECK_TEXT(f.h.error.text, "no memory for 100 bytes of scratch: out of memory");
    f.h.error.code = BS_OK;
    CHECK(bs_scratch_take(&f.h, SIZE_MAX) == NULL);
    tear_down(&f);
}

/* ---- operations as data ---- */

BS_TEST(op_infos_are_complete)
{
    CHECK(bs_n_ops == BS_N_OPS);
    for (int i = 0; i < bs_n_ops; i++) {
        const bs_op_info *op = &bs_op_infos[i];
        CHECK(op->name && op->formula[0] && op->check && op->call && op->n_args > 0 &&
              op->n_args <= BS_MAX_ARGS);
        for (int arg = 0; arg < op->n_args; arg++)
            CHECK(op->args[arg].name && op->args[arg].name[0]);
    }
    CHECK_TEXT(bs_op_infos[BS_OP_add_tt].name, "add_tt");
}

BS_TEST(op_check_names_the_argument)
{
    const bs_op_info *op = &bs_op_infos[BS_OP_dot_mm];
    float numbers[100] = {0};
    bs_error err = {0};
    bs_value v[BS_MAX_ARGS] = {{.integer = 0}};
    v[0].array = bs_array_packed(numbers, BS_F32, 2, (const int64_t[]){2, 3});
    v[1].array = bs_array_packed(numbers + 10, BS_F32, 2, (const int64_t[]){4, 5});
    v[2].array = bs_array_packed(numbers + 40, BS_F32, 2, (const int64_t[]){2, 5});
    CHECK(bs_op_check(op, v, &err) == BS_VALUE);
    CHECK_TEXT(err.text, "dot_mm: 'b' has shape (4, 5), expected (3, 5)");
    v[1].array.dim[0] = 3;
    err.code = BS_OK;
    CHECK(bs_op_check(op, v, &err) == BS_OK);
    v[2].array.data = numbers + 5;
    CHECK(bs_op_check(op, v, &err) == BS_VALUE);
    CHECK_TEXT(err.text, "dot_mm: 'out' partly overlaps 'a'");
}

BS_TEST(op_call_by_values)
{
    fixture f;
    double a[6] = {1, 2, 3, 4, 5, 6}, out[3] = {0};
    bs_value v[BS_MAX_ARGS] = {{.integer = 0}};
    set_up(&f, BS_F64);
    v[0].array = bs_array_packed(a, BS_F64, 2, (const int64_t[]){2, 3});
    v[1].integer = 0;
    v[2].array = bs_array_packed(out, BS_F64, 1, (const int64_t[]){3});
    CHECK(bs_op_check(&bs_op_infos[BS_OP_sum_t], v, NULL) == BS_OK);
    bs_op_infos[BS_OP_sum_t].call(&f.h, v);
    CHECK(out[0] == 5 && out[1] == 7 && out[2] == 9);
    tear_down(&f);
}

/* ---- fusions ---- */

enum { ROWS = 37, COLS = 23, DEPTH = 41, BATCH = 5, CELLS = 7 };
enum { SIDE = 6, CHANNELS = 3, FILTERS = 4 };

typedef struct fusion_data {
    double x[ROWS * DEPTH], w[COLS * DEPTH], bias[COLS], y[ROWS * COLS], p[ROWS * COLS],
        z[ROWS * COLS], loss[ROWS], targets[ROWS];
    double cells[BATCH * CELLS * 120];
    double images[BATCH * SIDE * SIDE * CHANNELS], maps[BATCH * SIDE * SIDE * FILTERS],
        window[FILTERS * 3 * 3 * CHANNELS];
    double d_images[BATCH * SIDE * SIDE * CHANNELS], d_maps[BATCH * SIDE * SIDE * FILTERS],
        d_window[FILTERS * 3 * 3 * CHANNELS], d_bias[FILTERS];
    double pooled[BATCH * SIDE * SIDE * FILTERS], argmax[BATCH * SIDE * SIDE * FILTERS];
} fusion_data;

static void fill_data(fusion_data *d)
{
    double *all = (double *)d;
    for (size_t i = 0; i < sizeof *d / sizeof(double); i++)
        all[i] = sin((double)(i * i % 1009)) / 3;
    for (int i = 0; i < ROWS; i++)
        d->targets[i] = i % COLS;
}

static bs_array matrix_of(double *data, int64_t rows, int64_t cols)
{
    return bs_array_packed(data, BS_F64, 2, (const int64_t[]){rows, cols});
}

/* The next rows x cols numbers of the cells. */
static bs_array take(fusion_data *d, int *at, int64_t rows, int64_t cols)
{
    const bs_array out = matrix_of(d->cells + *at, rows, cols);
    *at += (int)(rows * cols);
    return bs_matrix(&out, 1);
}

/* One step of an LSTM and of a GRU, forward and backward. */
static void run_steps(fixture *f, fusion_data *d, int activation)
{
    const int64_t n = CELLS;
    int at = 0;
    bs_array c[9], wide[4], keep = take(d, &at, BATCH, n), p = take(d, &at, 3, n),
                            b = take(d, &at, 1, n);
    for (int i = 0; i < 9; i++)
        c[i] = take(d, &at, BATCH, n);
    for (int i = 0; i < 4; i++)
        wide[i] = take(d, &at, BATCH, 4 * n);
    for (int i = 0; i < BATCH * n; i += 3)
        ((double *)keep.data)[i] = 0;
    bs_lstm_forward(&f->h, &c[0], &c[1], &keep, &p, &wide[0], &wide[1], &c[2], &c[3], &c[4],
                    activation);
    bs_lstm_backward(&f->h, &c[5], &keep, &p, &c[0], &wide[1], &c[3], &c[6], &wide[2], &wide[3],
                     &c[7], &c[8], activation);
    bs_lstm_backward_add(&f->h, &c[5], &keep, &p, &c[0], &wide[1], &c[3], &c[6], &wide[2], &wide[3],
                         &c[7], &c[8], activation);
    const bs_array gb = bs_columns(&wide[1], 0, 3 * n), dgb = bs_columns(&wide[3], 0, 3 * n);
    bs_gru_forward(&f->h, &c[0], &b, &wide[0], &gb, &c[1], activation);
    bs_gru_backward(&f->h, &c[5], &c[0], &wide[0], &gb, &wide[2], &dgb, &c[6], activation);
    bs_gru_backward_add(&f->h, &c[5], &c[0], &wide[0], &gb, &wide[2], &dgb, &c[6], activation);
    bs_mult_sum_add_mm(&f->h, &c[2], &c[6], &b);
}

/* A convolution of 3 x 3 with its activation, and max pooling behind it. */
static void run_convolution(fixture *f, fusion_data *d, int activation)
{
    const bs_window w = {.rows = 3, .cols = 3, .stride_rows = 1, .stride_cols = 1, .padding = 1};
    const bs_array x = bs_array_packed(d->images, BS_F64, 4,
                                       (const int64_t[]){BATCH, SIDE, SIDE, CHANNELS}),
                   y = bs_array_packed(d->maps, BS_F64, 4,
                                       (const int64_t[]){BATCH, SIDE, SIDE, FILTERS}),
                   k = bs_array_packed(d->window, BS_F64, 4,
                                       (const int64_t[]){FILTERS, 3, 3, CHANNELS}),
                   bias = bs_array_packed(d->bias, BS_F64, 1, (const int64_t[]){FILTERS});
    bs_array dx = x, dy = y, dk = k, dbias = bias, pooled = y, argmax = y;
    dx.data = d->d_images, dy.data = d->d_maps, dk.data = d->d_window, dbias.data = d->d_bias;
    pooled.data = d->pooled, argmax.data = d->argmax;
    bs_conv2d_forward_act(&f->h, &x, &k, &bias, &y, activation, &w);
    bs_maxpool2d_forward_batch(&f->h, &y, &pooled, &argmax, &w);
    bs_maxpool2d_backward_set(&f->h, &y, &pooled, &argmax, &dy, &pooled, &w);
    bs_conv2d_backward_act(&f->h, &x, &k, &y, &dx, &dy, &dk, &dbias, activation, &w);
}

/* Every fusion once, with the operations of the handle's table. */
static void run_fusions(fixture *f, fusion_data *d)
{
    const bs_array x = matrix_of(d->x, ROWS, DEPTH), w = matrix_of(d->w, COLS, DEPTH),
                   y = matrix_of(d->y, ROWS, COLS);
    const bs_array bias = bs_array_packed(d->bias, BS_F64, 1, (const int64_t[]){COLS});
    const bs_array targets = matrix_of(d->targets, ROWS, 1), loss = matrix_of(d->loss, ROWS, 1);
    const bs_array p = matrix_of(d->p, ROWS, COLS), z = matrix_of(d->z, ROWS, COLS);
    const bs_array flat_x = bs_array_packed(d->x, BS_F64, 1, (const int64_t[]){ROWS * COLS});
    const bs_array flat_y = bs_array_packed(d->y, BS_F64, 1, (const int64_t[]){ROWS * COLS});
    const bs_array flat_w = bs_array_packed(d->w, BS_F64, 1, (const int64_t[]){ROWS * COLS});
    const bs_array flat_p = bs_array_packed(d->p, BS_F64, 1, (const int64_t[]){ROWS * COLS});
    f->stream.draw = 5;
    for (int activation = 0; activation < BS_N_ACTIVATIONS; activation++) {
        bs_linear_act(&f->h, &x, &w, &bias, &y, activation);
        run_convolution(f, d, activation);
        run_steps(f, d, activation);
    }
    bs_softmax_ce(&f->h, &y, &targets, &p, &loss);
    bs_softmax_ce_deriv(&f->h, &p, &targets, &loss, &y);
    bs_embed(&f->h, &p, &targets, &y);
    bs_embed_add(&f->h, &targets, &y, &p);
    bs_dropout(&f->h, 0.25, &flat_y, &flat_p, &flat_y);
    bs_sgd_step(&f->h, 0.1, &flat_y, &flat_p, &flat_x);
    bs_momentum_step(&f->h, 0.1, 0.9, &flat_y, &flat_p, &flat_x);
    bs_dot_momentum_step(&f->h, 0.1, 0.9, &x, &w, &y, &p, &z, 0, 1);
    bs_mult_tt(&f->h, &flat_p, &flat_p, &flat_p); /* averages of squares are not negative */
    bs_rmsprop_step(&f->h, 0.1, 0.8, 0.01, 0.5, &flat_y, &flat_p, &flat_w, &flat_x);
    bs_adagrad_step(&f->h, 0.1, 0.01, &flat_y, &flat_p, &flat_x);
    bs_adam_step(&f->h, 0.1, 0.8, 0.9, 0.01, 0.2, 0.1, &flat_y, &flat_w, &flat_p, &flat_x);
    bs_mult_tt(&f->h, &flat_w, &flat_w, &flat_w);
    bs_adadelta_step(&f->h, 0.5, 0.8, 0.01, &flat_y, &flat_p, &flat_w, &flat_x);
    CHECK(f->h.error.code == BS_OK);
}

BS_TEST(fusions_equal_their_fallbacks)
{
    static fusion_data fused, plain;
    fixture f;
    set_up(&f, BS_F64);
    fill_data(&fused);
    run_fusions(&f, &fused);
    bs_ops ops = f.device->ops;
#define REQUIRED(name)
#define OPTIONAL(name)                                         ops.name = NULL;
#define BS_OP(name, need, rule, signature, arguments, formula) need(name)
#include "handlers/ops.def"
    bs_fill_with_fallbacks(&ops);
    CHECK(ops.linear_act != NULL && ops.linear_act != f.device->ops.linear_act);
    f.h.ops = &ops;
    fill_data(&plain);
    run_fusions(&f, &plain);
    for (size_t i = 0; i < sizeof fused / sizeof(double); i++)
        CHECK(fabs(((double *)&fused)[i] - ((double *)&plain)[i]) < 1e-12);
    tear_down(&f);
}

/* ---- memory that runs out ---- */

static double images[2 * 400 * 9], filters[4 * 9 * 3], big[3000 * 70];

/* The operations that take scratch. Each starts from an empty handle. */
static void run_with_scratch(fixture *f)
{
    double out[400] = {0}, deltas[4 * 9 * 3 + 4];
    const bs_window w = {.stride_rows = 1, .stride_cols = 1, .padding = 1};
    const bs_array tall = bs_array_packed(big, BS_F64, 2, (const int64_t[]){3000, 70});
    const bs_array columns = bs_array_packed(out, BS_F64, 1, (const int64_t[]){70});
    const bs_array one = bs_array_packed(out, BS_F64, 1, (const int64_t[]){1});
    const bs_array x = bs_array_packed(images, BS_F64, 4, (const int64_t[]){2, 10, 10, 3});
    const bs_array y = bs_array_packed(images + 1200, BS_F64, 4, (const int64_t[]){2, 10, 10, 4});
    const bs_array k = bs_array_packed(filters, BS_F64, 4, (const int64_t[]){4, 3, 3, 3});
    const bs_array dk = bs_array_packed(deltas, BS_F64, 4, (const int64_t[]){4, 3, 3, 3});
    const bs_array bias = bs_array_packed(deltas + 108, BS_F64, 1, (const int64_t[]){4});
    const bs_array head = bs_slice(&tall, 0, 20),
                   square = bs_array_packed(out, BS_F64, 2, (const int64_t[]){20, 20});
    memset(deltas, 0, sizeof deltas);
    bs_sum_t(&f->h, &tall, 0, &columns);
    bs_sum_t(&f->h, &tall, BS_ALL_AXES, &one);
    bs_dot_mm(&f->h, &head, &head, &square, 0, 1);
    bs_conv2d_forward_batch(&f->h, &x, &k, &bias, &y, &w);
    bs_conv2d_backward_batch(&f->h, &x, &k, &x, &y, &dk, &bias, &w);
}

BS_TEST(operations_survive_missing_memory)
{
    const int64_t live = bs_alloc_live();
    int n = 1;
    for (;; n++) {
        fixture f;
        set_up(&f, BS_F64);
        bs_alloc_fail_at(n);
        run_with_scratch(&f);
        bs_alloc_fail_at(0);
        const bs_status code = f.h.error.code;
        tear_down(&f);
        CHECK(code == BS_OK || code == BS_NO_MEMORY);
        if (code == BS_OK || n > 100)
            break;
    }
    CHECK(n > 1 && n < 100);
    CHECK(bs_alloc_live() == live);
}
