/* sum_tmpl.c - sums, the same for any number of threads: fixed chunks, whose partial sums are added
 * in order. */
#include <string.h>

#include "handlers/cpu/kernels.h"

enum { LANES = 8 };

/* Sum of n numbers that follow each other, in double. */
static double sum_run(const real *x, int64_t n)
{
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + l];
    for (; i < n; i++)
        sum += x[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* ---- over everything ---- */

typedef struct total_job {
    const bs_array *a;
    double *part;
    int64_t count;
} total_job;

static void total_task(void *context, int64_t task, int thread)
{
    const total_job *j = context;
    const int64_t cols = bs_is_packed(j->a) ? j->count : bs_cols(j->a),
                  end = min64((task + 1) * TILE, j->count);
    double sum = 0;
    (void)thread;
    for (int64_t i = task * TILE; i < end;) {
        const int64_t n = min64(end - i, cols - i % cols);
        sum += sum_run((const real *)j->a->data + i / cols * j->a->pitch + i % cols, n);
        i += n;
    }
    j->part[task] = sum;
}

static void total(bs_handler *h, bs_a_ a, bs_a_ out)
{
    const bs_mark mark = bs_scratch_mark(h);
    const int64_t count = bs_count(a), parts = div_up(count, TILE);
    total_job j = {.a = a,
                   .count = count,
                   .part = bs_scratch_take(h, (size_t)(parts ? parts : 1) * sizeof(double))};
    double sum = 0;
    if (!j.part)
        return;
    bs_parallel(parts, total_task, &j);
    for (int64_t i = 0; i < parts; i++)
        sum += j.part[i];
    *(real *)out->data = (real)sum;
    bs_scratch_release(h, mark);
}

/* ---- over the columns of each row ---- */

typedef struct row_sums {
    bs_array m, out;
} row_sums;

static void sum_row(void *job, int64_t row)
{
    const row_sums *j = job;
    *element(&j->out, row) = (real)sum_run((const real *)j->m.data + row * j->m.pitch, j->m.dim[1]);
}

/* ---- over the rows of each column ---- */

enum {
    TILE_ROWS = 64, /* summed in single precision one after another */
    TILE_COLS = 64, /* sums that are kept on the stack */
    MAX_PARTS = 64
};

typedef struct column_sums {
    const real *x, *y; /* sums of x, or of x*y if there is a y */
    int64_t rows, cols, pitch, y_pitch;
    real *part;   /* parts x cols */
    int64_t step; /* rows per task */
} column_sums;

static void sum_tile(const real *x, int64_t rows, int64_t cols, int64_t pitch, real *out)
{
    real sum[TILE_COLS] = {0};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < cols; c++)
            sum[c] += x[i * pitch + c];
    for (int64_t c = 0; c < cols; c++)
        out[c] += sum[c];
}

static void sum_product_tile(const real *x, const real *y, int64_t rows, int64_t cols,
                             int64_t pitch, int64_t y_pitch, real *out)
{
    real sum[TILE_COLS] = {0};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < cols; c++)
            sum[c] += x[i * pitch + c] * y[i * y_pitch + c];
    for (int64_t c = 0; c < cols; c++)
        out[c] += sum[c];
}

static void column_task(void *context, int64_t task, int thread)
{
    const column_sums *j = context;
    const int64_t end = min64((task + 1) * j->step, j->rows);
    real *out = j->part + task * j->cols;
    (void)thread;
    memset(out, 0, (size_t)j->cols * sizeof(real));
    for (int64_t i = task * j->step; i < end; i += TILE_ROWS)
        for (int64_t c = 0; c < j->cols; c += TILE_COLS) {
            const int64_t rows = min64(TILE_ROWS, end - i), cols = min64(TILE_COLS, j->cols - c);
            const real *x = j->x + i * j->pitch + c;
            if (j->y)
                sum_product_tile(x, j->y + i * j->y_pitch + c, rows, cols, j->pitch, j->y_pitch,
                                 out + c);
            else
                sum_tile(x, rows, cols, j->pitch, out + c);
        }
}

/* out[c] (+)= the sums of the job, whose part and step are worked out here. */
static void sum_columns(bs_handler *h, column_sums *j, real *out, int add)
{
    const bs_mark mark = bs_scratch_mark(h);
    const int64_t bunch = TILE_ROWS * div_up(rows_per_task(j->cols), TILE_ROWS);
    j->step = div_up(j->rows, bunch) > MAX_PARTS
                  ? TILE_ROWS * div_up(j->rows, TILE_ROWS * MAX_PARTS)
                  : bunch;
    const int64_t parts = j->rows > 0 ? div_up(j->rows, j->step) : 1;
    const int direct = parts == 1 && !add;
    j->part = direct ? out : bs_scratch_take(h, (size_t)(parts * j->cols) * sizeof(real));
    if (!j->part)
        return;
    bs_parallel(parts, column_task, j);
    for (int64_t p = 0; p < parts && !direct; p++) {
        const int sets = p == 0 && !add;
        for (int64_t c = 0; c < j->cols; c++)
            out[c] = sets ? j->part[p * j->cols + c] : out[c] + j->part[p * j->cols + c];
    }
    bs_scratch_release(h, mark);
}

void K(mult_sum_add_mm)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out)
{
    const bs_array am = bs_matrix(a, 1), bm = bs_matrix(b, 1);
    sum_columns(h,
                &(column_sums){.x = am.data,
                               .y = bm.data,
                               .rows = am.dim[0],
                               .cols = am.dim[1],
                               .pitch = am.pitch,
                               .y_pitch = bm.pitch},
                out->data, 1);
}

void K(sum_t)(bs_handler *h, bs_a_ a, int axis, bs_a_ out)
{
    if (axis == BS_ALL_AXES || a->ndim < 2) {
        total(h, a, out);
        return;
    }
    const bs_array m = bs_matrix(a, 1);
    row_sums j = {.m = m, .out = *out};
    if (axis == 0)
        sum_columns(
            h, &(column_sums){.x = m.data, .rows = m.dim[0], .cols = m.dim[1], .pitch = m.pitch},
            out->data, 0);
    else
        K(each_row)(sum_row, &j, m.dim[0], m.dim[1]);
}
