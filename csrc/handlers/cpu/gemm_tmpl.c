/* gemm_tmpl.c - out (+)= op(a) op(b), then bias and activation, or the update of parameters whose
 * gradient it is.
 *
 * K(gemm) is the one place that decides, by shape alone (and for one-hot matrices by looking):
 * products that need no preparation run at once (gemm_direct_tmpl.c); the others are cut into tiles
 * of the output, and if these are few and k is large, k is cut as well (then the parts are summed
 * in order). A tile is computed on the thread that has it, by the register tile over panels of
 * op(b). It packs them in its scratch; where several tiles have the same columns and k is whole,
 * some rows of op(b) at a time are packed before, for all of them. A BLAS computes what is large in
 * all directions, where vectors are short or the user has chosen one. So the bits do not depend on
 * the number of threads. */
#include <string.h>

#include "handlers/cpu/blas.h"
#include "handlers/cpu/kernels.h"

enum {
    SERIAL = 1 << 17, /* multiplications that one thread does sooner than the pool starts */
    PANEL_K = 1024,   /* most rows of a packed panel */
    TILE_M = 24 * MR, /* most rows of a tile */
    TILE_N = 512,     /* most columns of a tile */
    WORK = 1 << 22,   /* multiplications that a tile should have */
    MANY_TILES = 32,  /* enough for any number of threads, so tiles may be larger than WORK asks */
    MIN_TILES = 8,    /* with fewer, k is cut too */
    MIN_K = 1024,     /* of a part */
    SHARED_N = 1 << 14, /* most columns of op(b) that are packed before: 64 MB in float32 */
    BLAS_MN = 256,      /* least rows and columns of a product that a BLAS may compute, */
    BLAS_K = 2048,      /* least length of its sums, */
    TILE_M_BLAS = 256,  /* and most rows of its tiles */
    /* most elements of op(a) that a tile copies if it is turned: in float32 they stay in the second
     * cache */
    TURNED = TILE_M * PANEL_K / 2,
    SMALL_B = 1 << 18, /* most elements of an op(b) that stays in the second cache in float32: then
                          it is the output that takes the time, and is written in whole rows, */
    THIN = 1 << 14     /* about so many elements at a time */
};

/* Of a thread without BLAS: a panel of op(b) if it is not shared, and op(a) of a tile if it is
 * turned. */
enum { SCRATCH = PANEL_K * NR + TURNED };

typedef struct gemm_job {
    const product *p;
    int64_t tile_m, tile_n, tiles_m, tiles_n; /* of the output */
    int64_t tile_k, parts;                    /* of k */
    int64_t k;                                /* rows [k, k + tile_k) of op(b) are in */
    real *panels;                             /* NULL: each tile packs its own */
    real *part;                               /* parts x m x n, if parts > 1 */
    real *scratch;                            /* SCRATCH for each thread, if there is no BLAS */
    const bs_blas *blas;
} gemm_job;

/* ---- one piece: rows [i, i + m) and columns [j, j + n) of the output, sums over [k, k + depth)
 * ---- */

typedef struct piece {
    int64_t i, m, j, n, k, depth;
    const real *panels; /* of op(b), or NULL: they are packed here */
    real *out;
    int64_t out_pitch;
    int add;
} piece;

static void piece_by_blas(const bs_blas *blas, const product *p, const piece *q)
{
    const real *a = a_at(p, q->i, q->k), *b = b_at(p, q->k, q->j);
#if BS_REAL_BITS == 32
    blas->sgemm(BS_BLAS_ROW_MAJOR, p->transa ? BS_BLAS_TRANS : BS_BLAS_NO_TRANS,
                p->transb ? BS_BLAS_TRANS : BS_BLAS_NO_TRANS, (int)q->m, (int)q->n, (int)q->depth,
                1.0f, a, (int)p->a_pitch, b, (int)p->b_pitch, q->add ? 1.0f : 0.0f, q->out,
                (int)q->out_pitch);
#else
    blas->dgemm(BS_BLAS_ROW_MAJOR, p->transa ? BS_BLAS_TRANS : BS_BLAS_NO_TRANS,
                p->transb ? BS_BLAS_TRANS : BS_BLAS_NO_TRANS, (int)q->m, (int)q->n, (int)q->depth,
                1.0, a, (int)p->a_pitch, b, (int)p->b_pitch, q->add ? 1.0 : 0.0, q->out,
                (int)q->out_pitch);
#endif
}

/* Where op(a) of a piece lies: in place, or, if a is turned, in strips of depth x MR. */
typedef struct left {
    const real *data;
    int64_t tile; /* elements from a tile's rows to the next one's */
} left;

static left pack_left(const product *p, const piece *q, int64_t k, int64_t depth, int64_t height,
                      real *to)
{
    if (!p->transa)
        return (left){.data = a_at(p, q->i, k), .tile = height * p->a_pitch};
    for (int64_t at = 0; at < depth; at++) {
        const real *from = a_at(p, q->i, k + at), *end = from + q->m;
        real *row = to + at * MR;
        for (; end - from >= MR; from += height, row += MR * depth)
            memcpy(row, from, MR * sizeof(real)); /* a size known beforehand is no call */
        for (; from < end; from += height, row += MR * depth)
            memcpy(row, from, (size_t)(end - from) * sizeof(real));
    }
    return (left){.data = to, .tile = MR * depth};
}

/* Rows [k, k + depth) of columns [j, j + NR) of op(b). */
static void pack_right(const product *p, int64_t k, int64_t depth, int64_t j, real *to)
{
    K(pack_panel)
    (to, b_at(p, k, j), depth, min64(NR, p->n - j), p->transb ? 1 : p->b_pitch,
     p->transb ? p->b_pitch : 1);
}

static const real *panel_of(const product *p, const piece *q, int64_t k, int64_t depth, int64_t j,
                            real *scratch)
{
    if (q->panels)
        return q->panels + j * depth;
    pack_right(p, k, depth, q->j + j, scratch);
    return scratch;
}

/* What is read next of op(b), for columns [j, j + NR). */
static ahead next_panel(const product *p, const piece *q, int64_t k, int64_t depth, int64_t j)
{
    const int64_t cols = min64(NR, q->n - j);
    if (q->panels)
        return ahead_of(q->panels + j * depth, NR, depth, NR);
    return p->transb ? ahead_of(b_at(p, k, q->j + j), p->b_pitch, cols, depth)
                     : ahead_of(b_at(p, k, q->j + j), p->b_pitch, depth, cols);
}

static void piece_by_tiles(const product *p, const piece *q, real *scratch)
{
    const int64_t height = tile_height(q->m);
    for (int64_t k = q->k; k < q->k + q->depth; k += PANEL_K) {
        const int64_t depth = min64(PANEL_K, q->k + q->depth - k);
        const left a = pack_left(p, q, k, depth, height, scratch + PANEL_K * NR);
        for (int64_t j = 0; j < q->n; j += NR) {
            int wants_panel = j + NR < q->n;
            tile_job t = {.length = depth,
                          .cols = min64(NR, q->n - j),
                          .a = a.data,
                          .a_row = p->a_pitch,
                          .is_turned = p->transa,
                          .panel = panel_of(p, q, k, depth, j, scratch),
                          .out = q->out + j,
                          .out_row = q->out_pitch,
                          .add = q->add || k > q->k};
            if (wants_panel)
                t.ahead = ahead_of(q->out + j + NR, q->out_pitch, q->m, NR);
            for (int64_t i = 0; i < q->m;
                 i += height, t.a += a.tile, t.out += height * q->out_pitch) {
                t.rows = min64(height, q->m - i);
                if (wants_panel && !t.ahead.at) {
                    t.ahead = next_panel(p, q, k, depth, j + NR);
                    wants_panel = 0;
                }
                K(tile)(&t);
            }
        }
    }
}

static void tile_task(void *context, int64_t task, int thread)
{
    const gemm_job *g = context;
    const product *p = g->p;
    const int64_t part = task / (g->tiles_m * g->tiles_n), tile = task % (g->tiles_m * g->tiles_n);
    piece q = {.i = tile / g->tiles_n * g->tile_m,
               .j = tile % g->tiles_n * g->tile_n,
               .k = g->k + part * g->tile_k};
    q.m = min64(g->tile_m, p->m - q.i), q.n = min64(g->tile_n, p->n - q.j),
    q.depth = min64(g->tile_k, p->k - q.k);
    q.panels = g->panels ? g->panels + q.j * q.depth : NULL;
    q.out_pitch = g->parts > 1 ? p->n : p->out_pitch;
    q.out = (g->parts > 1 ? g->part + part * p->m * p->n : p->out) + q.i * q.out_pitch + q.j;
    q.add = g->parts == 1 && (p->add || g->k > 0);
    if (g->blas)
        piece_by_blas(g->blas, p, &q);
    else
        piece_by_tiles(p, &q, g->scratch + (int64_t)thread * SCRATCH);
    if (g->parts == 1 && q.k + q.depth == p->k && wants_finish(p))
        for (int64_t i = q.i; i < q.i + q.m; i++)
            K(finish_row)(p, i, q.j, q.n);
}

static void pack_task(void *context, int64_t panel)
{
    const gemm_job *g = context;
    const product *p = g->p;
    const int64_t j = panel * NR, depth = min64(g->tile_k, p->k - g->k);
    pack_right(p, g->k, depth, j, g->panels + j * depth);
}

static void add_parts_row(void *context, int64_t row)
{
    const gemm_job *g = context;
    const product *p = g->p;
    real *out = p->out + row * p->out_pitch;
    for (int64_t part = 0; part < g->parts; part++) {
        const real *x = g->part + (part * p->m + row) * p->n;
        const int add = p->add || part > 0;
        BS_IVDEP
        for (int64_t j = 0; j < p->n; j++)
            out[j] = add ? out[j] + x[j] : x[j];
    }
    K(finish_row)(p, row, 0, p->n);
}

/* ---- cutting ---- */

static int64_t even_cut(int64_t n, int64_t most,
                        int64_t unit) /* size of pieces of at most `most`, nearly equal */
{
    const int64_t pieces = div_up(n, most);
    return div_up(div_up(n, pieces), unit) * unit;
}

static void plan_cut(gemm_job *g)
{
    const product *p = g->p;
    const int64_t depth = min64(p->k, PANEL_K);
    int64_t most_m = g->blas ? TILE_M_BLAS : TILE_M;
    if (p->transa && !g->blas)
        most_m = min64(most_m, TURNED / depth / MR * MR);
    const int whole_rows = !g->blas && p->k * p->n <= SMALL_B && p->m >= MANY_TILES * MR;
    if (whole_rows)
        most_m = min64(most_m, p->n < THIN / MR ? THIN / p->n : MR);
    g->tile_m = even_cut(p->m, most_m, MR);
    g->tiles_m = div_up(p->m, g->tile_m);
    int64_t n = WORK / (min64(p->m, g->tile_m) * p->k);
    n = n < 4 * NR ? 4 * NR : n;
    if (n < p->n * g->tiles_m / MANY_TILES)
        n = p->n * g->tiles_m / MANY_TILES;
    g->tile_n = even_cut(p->n, whole_rows ? p->n : min64(n, TILE_N), NR);
    g->tiles_n = div_up(p->n, g->tile_n);
    g->parts = 1;
    g->tile_k = p->k;
    if (g->tiles_m * g->tiles_n < MIN_TILES && p->k >= 2 * MIN_K) {
        g->tile_k = even_cut(p->k, p->k > MIN_TILES * MIN_K ? div_up(p->k, MIN_TILES) : MIN_K, 1);
        g->parts = div_up(p->k, g->tile_k);
    }
}

static const bs_blas *blas_for(const product *p)
{
    const int is_large = p->m >= BLAS_MN && p->n >= BLAS_MN && p->k >= BLAS_K;
    const int tile_wins = VEC_BYTES >= 32; /* over OpenBLAS, measured with AVX2 and AVX-512 */
    return is_large && (!tile_wins || bs_blas_is_named()) ? bs_blas_get() : NULL;
}

static void run_tiles(gemm_job *g)
{
    const int64_t tasks = g->parts * g->tiles_m * g->tiles_n;
    if (g->p->m * g->p->n * g->p->k < SERIAL)
        for (int64_t task = 0; task < tasks; task++)
            tile_task(g, task, 0);
    else
        bs_parallel(tasks, tile_task, g);
}

/* All tiles, on rows [k, k + tile_k) after rows of op(b) that are packed for all of them. */
static void run_on_shared_panels(bs_handler *h, gemm_job *g)
{
    const int64_t panels = div_up(g->p->n, NR);
    g->tile_k = even_cut(g->p->k, PANEL_K, 1);
    g->panels = bs_scratch_take(h, (size_t)(panels * NR * g->tile_k) * sizeof(real));
    for (; g->panels && g->k < g->p->k; g->k += g->tile_k) {
        K(each_row)(pack_task, g, panels, NR * g->tile_k);
        run_tiles(g);
    }
}

static void run_in_parts(bs_handler *h, gemm_job *g)
{
    const product *p = g->p;
    g->part = bs_scratch_take(h, (size_t)(g->parts * p->m * p->n) * sizeof(real));
    if (!g->part)
        return;
    run_tiles(g);
    K(each_row)(add_parts_row, g, p->m, p->n * g->parts);
}

void K(gemm)(bs_handler *h, const product *p)
{
    if (p->m == 0 || p->n == 0)
        return;
    if (K(direct_product)(p) || K(one_hot_product)(h, p))
        return;
    const bs_mark mark = bs_scratch_mark(h);
    gemm_job g = {.p = p, .blas = blas_for(p)};
    plan_cut(&g);
    if (!g.blas)
        g.scratch = bs_scratch_take(h, (size_t)bs_num_threads() * SCRATCH * sizeof(real));
    if (g.blas || g.scratch) {
        if (g.parts > 1)
            run_in_parts(h, &g);
        else if (g.tiles_m > 1 && p->n <= SHARED_N && !g.blas)
            run_on_shared_panels(h, &g);
        else
            run_tiles(&g);
    }
    bs_scratch_release(h, mark);
}

static void dot_mm(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out, int transa, int transb, int add,
                   const momentum_update *update)
{
    const bs_array am = bs_matrix(a, 1), bm = bs_matrix(b, 1), om = bs_matrix(out, 1);
    K(gemm)
    (h, &(product){.m = om.dim[0],
                   .n = om.dim[1],
                   .k = am.dim[transa ? 0 : 1],
                   .a = am.data,
                   .b = bm.data,
                   .out = om.data,
                   .a_pitch = am.pitch,
                   .b_pitch = bm.pitch,
                   .out_pitch = om.pitch,
                   .transa = transa != 0,
                   .transb = transb != 0,
                   .add = add,
                   .activation = BS_LINEAR,
                   .update = update});
}

void K(dot_mm)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out, int transa, int transb)
{
    dot_mm(h, a, b, out, transa, transb, 0, NULL);
}

void K(dot_add_mm)(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ out, int transa, int transb)
{
    dot_mm(h, a, b, out, transa, transb, 1, NULL);
}

void K(dot_momentum_step)(bs_handler *h, double rate, double momentum, bs_a_ a, bs_a_ b, bs_a_ out,
                          bs_a_ v, bs_a_ p, int transa, int transb)
{
    const bs_array vm = bs_matrix(v, 1), pm = bs_matrix(p, 1);
    const momentum_update update = {.minus_rate = (real)-rate,
                                    .momentum = (real)momentum,
                                    .v = vm.data,
                                    .p = pm.data,
                                    .v_pitch = vm.pitch,
                                    .p_pitch = pm.pitch};
    dot_mm(h, a, b, out, transa, transb, 0, &update);
}
