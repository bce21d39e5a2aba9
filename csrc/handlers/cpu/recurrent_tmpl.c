/* recurrent_tmpl.c - one step of an LSTM or a GRU, elementwise: a sequence is a task's unit, and a
 * row of it is walked in short runs, so that what one loop leaves behind the next finds in the
 * first cache. The formulas stand in ops.def. */
#include <string.h>

#include "handlers/cpu/recurrent.h"

enum { RUN = 128 }; /* cells that are done at a time */

static real *at(const step_job *j, int array, int64_t row, int64_t column)
{
    return line_at(&j->array[array], row) + column;
}

/* The first array is (B, n). */
static void run_step(row_job_function *f, int n_arrays, const bs_array *const arrays[],
                     int activation, int add)
{
    step_job j = {.n = arrays[0]->dim[1], .activation = (bs_activation)activation, .add = add};
    for (int k = 0; k < n_arrays; k++) {
        const bs_array m = bs_matrix(arrays[k], arrays[k]->ndim - 1);
        j.array[k] = (lines){m.data, m.pitch};
    }
    K(each_row)(f, &j, arrays[0]->dim[0], j.n * CELL_COST);
}

/* ---- LSTM ---- */

static void lstm_run(const step_job *j, int64_t row, int64_t start, int64_t count)
{
    enum { C_BEFORE, Y_BEFORE, KEEP, P, GA, GB, CA, CB, Y };
    const int64_t n = j->n;
    const real *c_before = at(j, C_BEFORE, row, start), *y_before = at(j, Y_BEFORE, row, start),
               *keep = at(j, KEEP, row, start);
    const real *pi = at(j, P, 0, start), *pf = at(j, P, 1, start), *po = at(j, P, 2, start);
    real *za = at(j, GA, row, start), *ia = za + n, *fa = ia + n, *oa = fa + n;
    real *z = at(j, GB, row, start), *i = z + n, *f = i + n, *o = f + n;
    real *ca = at(j, CA, row, start), *cb = at(j, CB, row, start), *y = at(j, Y, row, start);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        ia[k] += pi[k] * c_before[k];
        fa[k] += pf[k] * c_before[k];
        z[k] = za[k], i[k] = ia[k], f[k] = fa[k];
    }
    K(activate_row)(j->activation, z, count);
    K(activate_row)(BS_SIGMOID, i, count);
    K(activate_row)(BS_SIGMOID, f, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        const real c = i[k] * z[k] + f[k] * c_before[k];
        oa[k] += po[k] * c;
        o[k] = oa[k], cb[k] = c;
        ca[k] = keep[k] != 0 ? c_before[k] : c;
    }
    K(activate_row)(BS_SIGMOID, o, count);
    K(activate_row)(j->activation, cb, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++)
        y[k] = keep[k] != 0 ? y_before[k] : o[k] * cb[k];
}

void K(lstm_row)(void *job, int64_t row)
{
    const step_job *j = job;
    for (int64_t start = 0; start < j->n; start += RUN)
        lstm_run(j, row, start, min64(RUN, j->n - start));
}

void K(lstm_forward)(bs_handler *h, bs_a_ c_before, bs_a_ y_before, bs_a_ keep, bs_a_ p, bs_a_ ga,
                     bs_a_ gb, bs_a_ ca, bs_a_ cb, bs_a_ y, int activation)
{
    (void)h;
    run_step(K(lstm_row), 9,
             (const bs_array *const[]){c_before, y_before, keep, p, ga, gb, ca, cb, y}, activation,
             0);
}

/* What flows into a gate after its activation, from elsewhere and from the cell. A kept cell shows
 * its delta to the gates (`shown`), but what they pass on is that of the computed cell (`dc`). */
BS_INLINE void gate_deltas(real *db, real *into, real before, real shown, real dc, real factor)
{
    *db = before + shown * factor;
    *into = before + dc * factor;
}

BS_INLINE void lstm_run_backward(const step_job *j, int64_t row, int64_t start, int64_t count,
                                 const int add)
{
    enum { DY, KEEP, P, C_BEFORE, GB, CB, DCA, DGA, DGB, DCB, DC_BEFORE };
    const int64_t n = j->n;
    const real *dy = at(j, DY, row, start), *keep = at(j, KEEP, row, start),
               *c_before = at(j, C_BEFORE, row, start), *cb = at(j, CB, row, start);
    const real *pi = at(j, P, 0, start), *pf = at(j, P, 1, start), *po = at(j, P, 2, start);
    const real *z = at(j, GB, row, start), *i = z + n, *f = i + n, *o = f + n;
    real *dza = at(j, DGA, row, start), *dia = dza + n, *dfa = dia + n, *doa = dfa + n;
    real *dzb = at(j, DGB, row, start), *dib = dzb + n, *dfb = dib + n, *dob = dfb + n;
    real *dca = at(j, DCA, row, start), *dcb = at(j, DCB, row, start),
         *dc_before = at(j, DC_BEFORE, row, start);
    real into_c[RUN], into_z[RUN];
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        const real dy_new = keep[k] != 0 ? 0 : dy[k];
        into_c[k] = (add ? dcb[k] : 0) + dy_new * o[k];
        dob[k] = (add ? dob[k] : 0) + dy_new * cb[k];
        doa[k] = (add ? doa[k] : 0) + dob[k] * o[k] * (1 - o[k]);
    }
    K(activate_deriv_row)(j->activation, cb, into_c, dcb, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        const int kept = keep[k] != 0;
        const real dc = dcb[k] + po[k] * doa[k] + (kept ? 0 : dca[k]), shown = kept ? dca[k] : dc;
        real into_i, into_f;
        gate_deltas(&dzb[k], &into_z[k], add ? dzb[k] : 0, shown, dc, i[k]);
        gate_deltas(&dib[k], &into_i, add ? dib[k] : 0, shown, dc, z[k]);
        gate_deltas(&dfb[k], &into_f, add ? dfb[k] : 0, shown, dc, c_before[k]);
        dia[k] = (add ? dia[k] : 0) + into_i * i[k] * (1 - i[k]);
        dfa[k] = (add ? dfa[k] : 0) + into_f * f[k] * (1 - f[k]);
        dc_before[k] = (add ? dc_before[k] : 0) + (kept ? dca[k] : 0) + dc * f[k] + pi[k] * dia[k] +
                       pf[k] * dfa[k];
        dca[k] = shown;
    }
    K(activate_deriv_row)(j->activation, z, into_z, into_z, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++)
        dza[k] = (add ? dza[k] : 0) + into_z[k];
}

void K(lstm_row_backward)(void *job, int64_t row)
{
    const step_job *j = job;
    for (int64_t start = 0; start < j->n; start += RUN) {
        if (j->add)
            lstm_run_backward(j, row, start, min64(RUN, j->n - start), 1);
        else
            lstm_run_backward(j, row, start, min64(RUN, j->n - start), 0);
    }
}

void K(lstm_backward)(bs_handler *h, bs_a_ dy, bs_a_ keep, bs_a_ p, bs_a_ c_before, bs_a_ gb,
                      bs_a_ cb, bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb, bs_a_ dc_before,
                      int activation)
{
    (void)h;
    run_step(
        K(lstm_row_backward), 11,
        (const bs_array *const[]){dy, keep, p, c_before, gb, cb, dca, dga, dgb, dcb, dc_before},
        activation, 0);
}

void K(lstm_backward_add)(bs_handler *h, bs_a_ dy, bs_a_ keep, bs_a_ p, bs_a_ c_before, bs_a_ gb,
                          bs_a_ cb, bs_a_ dca, bs_a_ dga, bs_a_ dgb, bs_a_ dcb, bs_a_ dc_before,
                          int activation)
{
    (void)h;
    run_step(
        K(lstm_row_backward), 11,
        (const bs_array *const[]){dy, keep, p, c_before, gb, cb, dca, dga, dgb, dcb, dc_before},
        activation, 1);
}

/* ---- GRU ---- */

static void gru_run(const step_job *j, int64_t row, int64_t start, int64_t count)
{
    enum { Y_BEFORE, B, GA, GB, Y };
    const int64_t n = j->n;
    const real *y_before = at(j, Y_BEFORE, row, start), *b = at(j, B, 0, start);
    real *ha = at(j, GA, row, start), *ra = ha + n, *za = ra + n, *s = za + n;
    real *h = at(j, GB, row, start), *r = h + n, *z = r + n, *y = at(j, Y, row, start);
    memcpy(r, ra, (size_t)count * sizeof(real));
    memcpy(z, za, (size_t)count * sizeof(real));
    K(activate_row)(BS_SIGMOID, r, count);
    K(activate_row)(BS_SIGMOID, z, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        s[k] += b[k];
        ha[k] += r[k] * s[k];
        h[k] = ha[k];
    }
    K(activate_row)(j->activation, h, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++)
        y[k] = (1 - z[k]) * h[k] + z[k] * y_before[k];
}

static void gru_row(void *job, int64_t row)
{
    const step_job *j = job;
    for (int64_t start = 0; start < j->n; start += RUN)
        gru_run(j, row, start, min64(RUN, j->n - start));
}

void K(gru_forward)(bs_handler *h, bs_a_ y_before, bs_a_ b, bs_a_ ga, bs_a_ gb, bs_a_ y,
                    int activation)
{
    (void)h;
    run_step(gru_row, 5, (const bs_array *const[]){y_before, b, ga, gb, y}, activation, 0);
}

BS_INLINE void gru_run_backward(const step_job *j, int64_t row, int64_t start, int64_t count,
                                const int add)
{
    enum { DY, Y_BEFORE, GA, GB, DGA, DGB, DY_BEFORE };
    const int64_t n = j->n;
    const real *dy = at(j, DY, row, start), *y_before = at(j, Y_BEFORE, row, start),
               *s = at(j, GA, row, start) + 3 * n;
    const real *h = at(j, GB, row, start), *r = h + n, *z = r + n;
    real *dha = at(j, DGA, row, start), *dra = dha + n, *dza = dra + n, *ds = dza + n;
    real *dhb = at(j, DGB, row, start), *drb = dhb + n, *dzb = drb + n,
         *dy_before = at(j, DY_BEFORE, row, start);
    real into_h[RUN];
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        dhb[k] = (add ? dhb[k] : 0) + dy[k] * (1 - z[k]);
        dzb[k] = (add ? dzb[k] : 0) + dy[k] * (y_before[k] - h[k]);
        dza[k] = (add ? dza[k] : 0) + dzb[k] * z[k] * (1 - z[k]);
        dy_before[k] = dy[k] * z[k];
    }
    K(activate_deriv_row)(j->activation, h, dhb, into_h, count);
    BS_IVDEP
    for (int64_t k = 0; k < count; k++) {
        dha[k] = (add ? dha[k] : 0) + into_h[k];
        ds[k] = (add ? ds[k] : 0) + dha[k] * r[k];
        drb[k] = (add ? drb[k] : 0) + dha[k] * s[k];
        dra[k] = (add ? dra[k] : 0) + drb[k] * r[k] * (1 - r[k]);
    }
}

static void gru_row_backward(void *job, int64_t row)
{
    const step_job *j = job;
    for (int64_t start = 0; start < j->n; start += RUN) {
        if (j->add)
            gru_run_backward(j, row, start, min64(RUN, j->n - start), 1);
        else
            gru_run_backward(j, row, start, min64(RUN, j->n - start), 0);
    }
}

void K(gru_backward)(bs_handler *h, bs_a_ dy, bs_a_ y_before, bs_a_ ga, bs_a_ gb, bs_a_ dga,
                     bs_a_ dgb, bs_a_ dy_before, int activation)
{
    (void)h;
    run_step(gru_row_backward, 7,
             (const bs_array *const[]){dy, y_before, ga, gb, dga, dgb, dy_before}, activation, 0);
}

void K(gru_backward_add)(bs_handler *h, bs_a_ dy, bs_a_ y_before, bs_a_ ga, bs_a_ gb, bs_a_ dga,
                         bs_a_ dgb, bs_a_ dy_before, int activation)
{
    (void)h;
    run_step(gru_row_backward, 7,
             (const bs_array *const[]){dy, y_before, ga, gb, dga, dgb, dy_before}, activation, 1);
}
