/* ids_tmpl.c - operations that take ids, which are numbers of the handler's dtype. An id that is
 * out of range, negative or fractional sets the handle's error to BS_INDEX, for the lowest such
 * row; nothing outside the arrays is touched. */
#include <string.h>

#include "handlers/cpu/kernels.h"

void K(fail_id)(bs_handler *h, const char *op, real id, int64_t row, int64_t n)
{
    bs_fail(&h->error, BS_INDEX, "%s: id %.9g in row %lld is out of range [0, %lld)", op,
            (double)id, (long long)row, (long long)n);
}

typedef struct ids_job {
    bs_array m, v, out;
    int64_t lowest; /* first row with a wrong id */
} ids_job;

static void binarize_row(void *job, int64_t row)
{
    ids_job *j = job;
    const int64_t n = j->out.dim[1];
    const real id = *element(&j->v, row);
    real *out = (real *)j->out.data + row * j->out.pitch;
    memset(out, 0, (size_t)n * sizeof(real));
    if (is_id(id, n))
        out[(int64_t)id] = 1;
    else
        note_row(&j->lowest, row);
}

void K(binarize_v)(bs_handler *h, bs_a_ v, bs_a_ out)
{
    ids_job j = {.v = *v, .out = bs_matrix(out, 1), .lowest = INT64_MAX};
    K(each_row)(binarize_row, &j, j.out.dim[0], j.out.dim[1]);
    if (j.lowest != INT64_MAX)
        K(fail_id)(h, "binarize_v", *element(v, j.lowest), j.lowest, j.out.dim[1]);
}

static void index_row(void *job, int64_t row)
{
    ids_job *j = job;
    const real id = *element(&j->v, row);
    if (is_id(id, j->m.dim[1]))
        *element(&j->out, row) = ((const real *)j->m.data)[row * j->m.pitch + (int64_t)id];
    else
        note_row(&j->lowest, row);
}

void K(index_m_by_v)(bs_handler *h, bs_a_ m, bs_a_ v, bs_a_ out)
{
    ids_job j = {.m = bs_matrix(m, 1), .v = *v, .out = *out, .lowest = INT64_MAX};
    K(each_row)(index_row, &j, j.m.dim[0], MATHS_COST);
    if (j.lowest != INT64_MAX)
        K(fail_id)(h, "index_m_by_v", *element(v, j.lowest), j.lowest, j.m.dim[1]);
}

/* ---- rows of a table ---- */

typedef struct table_job {
    bs_array ids, rows, table;
    int64_t lowest; /* first row with a wrong id */
} table_job;

static table_job table_job_of(bs_a_ ids, bs_a_ rows, bs_a_ table)
{
    return (table_job){
        .ids = *ids, .rows = bs_matrix(rows, 1), .table = bs_matrix(table, 1), .lowest = INT64_MAX};
}

static real *row_start(const bs_array *m, int64_t row)
{
    return (real *)m->data + row * m->pitch;
}

static void embed_row(void *job, int64_t row)
{
    table_job *j = job;
    const real id = *element(&j->ids, row);
    if (is_id(id, j->table.dim[0]))
        memcpy(row_start(&j->rows, row), row_start(&j->table, (int64_t)id),
               (size_t)j->table.dim[1] * sizeof(real));
    else
        note_row(&j->lowest, row);
}

void K(embed)(bs_handler *h, bs_a_ w, bs_a_ ids, bs_a_ out)
{
    table_job j = table_job_of(ids, out, w);
    K(each_row)(embed_row, &j, j.rows.dim[0], j.rows.dim[1]);
    if (j.lowest != INT64_MAX)
        K(fail_id)(h, "embed", *element(ids, j.lowest), j.lowest, j.table.dim[0]);
}

enum { STRIP = 64 }; /* columns that one task adds for all ids: so their order is always the same */

static void embed_add_strip(void *job, int64_t strip)
{
    table_job *j = job;
    const int64_t start = strip * STRIP, n = min64(STRIP, j->table.dim[1] - start);
    for (int64_t row = 0; row < j->rows.dim[0]; row++) {
        const real id = *element(&j->ids, row);
        if (!is_id(id, j->table.dim[0])) {
            note_row(&j->lowest, row);
            continue;
        }
        const real *from = row_start(&j->rows, row) + start;
        real *to = row_start(&j->table, (int64_t)id) + start;
        BS_IVDEP
        for (int64_t i = 0; i < n; i++)
            to[i] += from[i];
    }
}

void K(embed_add)(bs_handler *h, bs_a_ ids, bs_a_ d_out, bs_a_ d_w)
{
    table_job j = table_job_of(ids, d_out, d_w);
    K(each_row)(embed_add_strip, &j, div_up(j.table.dim[1], STRIP), j.rows.dim[0] * STRIP);
    if (j.lowest != INT64_MAX)
        K(fail_id)(h, "embed_add", *element(ids, j.lowest), j.lowest, j.table.dim[0]);
}
