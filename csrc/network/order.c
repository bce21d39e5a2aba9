/* order.c - orders with consecutive sets.
 *
 * Places are filled from left to right, each with the first thing after which the rest can still be
 * arranged. Whether it can is asked of a test for the consecutive-ones property (D. Fulkerson and
 * O. Gross, "Incidence matrices and interval graphs", Pacific J. Math. 15, 1965): sets that overlap
 * without one containing the other form components, each component has at most one order up to
 * reversal, which is built block by block, and all sets can be consecutive if and only if those of
 * each component can. */
#include "network/order.h"

#include <string.h>

typedef struct puzzle {
    int n, n_sets;
    char *member;      /* [set][thing] */
    int *block;        /* [thing]: its block in the component at hand, -1: in none yet */
    int *size, *count; /* [block]: things, and those of the set at hand */
    int n_blocks;
    char *done; /* [set]: 1 in the component at hand, 2 in an earlier one */
} puzzle;

struct work {
    puzzle rest;   /* what remains to be arranged, with one thing more in front of it */
    int *placed;   /* [set]: members that have a place */
    int *set_size; /* [set] */
    char *used;    /* [thing] */
};

/* ---- the test ---- */

static int overlap(const puzzle *p, int a, int b)
{
    const char *x = p->member + (size_t)a * (size_t)p->n, *y = p->member + (size_t)b * (size_t)p->n;
    int both = 0, only_x = 0, only_y = 0;
    for (int i = 0; i < p->n; i++) {
        both |= x[i] & y[i];
        only_x |= x[i] & !y[i];
        only_y |= y[i] & !x[i];
    }
    return both && only_x && only_y;
}

/* Makes room for a block at position `at`. */
static void insert_block(puzzle *p, int at)
{
    for (int i = 0; i < p->n; i++)
        p->block[i] += p->block[i] >= at;
    p->n_blocks++;
}

/* Splits a block so that the members of `set` stand on its left (or right) side. */
static void split(puzzle *p, const char *set, int block, int members_left)
{
    insert_block(p, block + 1);
    for (int i = 0; i < p->n; i++)
        if (p->block[i] == block && (set[i] != 0) != members_left)
            p->block[i] = block + 1;
}

/* Sizes of the blocks and members of `set` in them; returns how many members have no block yet. */
static int count_members(puzzle *p, const char *set, int *first, int *last)
{
    int fresh = 0;
    memset(p->size, 0, (size_t)p->n_blocks * sizeof *p->size);
    memset(p->count, 0, (size_t)p->n_blocks * sizeof *p->count);
    *first = p->n_blocks, *last = -1;
    for (int i = 0; i < p->n; i++) {
        const int b = p->block[i];
        fresh += set[i] && b < 0;
        if (b < 0)
            continue;
        p->size[b]++;
        p->count[b] += set[i];
        if (set[i]) {
            *first = b < *first ? b : *first;
            *last = b > *last ? b : *last;
        }
    }
    return fresh;
}

/* Adds a set that overlaps one of the component; 0 if it cannot be consecutive. */
static int add_set(puzzle *p, const char *set)
{
    int first, last;
    const int fresh = count_members(p, set, &first, &last);
    for (int b = first + 1; b < last; b++)
        if (p->count[b] < p->size[b])
            return 0;
    const int first_whole = p->count[first] == p->size[first];
    const int last_whole = p->count[last] == p->size[last];
    /* members without a block go to an end of all blocks, which the others must reach */
    const int left = fresh && first == 0 && (first_whole || first == last);
    const int right = fresh && !left && last == p->n_blocks - 1 && (last_whole || first == last);
    if (fresh && !left && !right)
        return 0;
    if (!last_whole && (first < last || left))
        split(p, set, last, 1);
    if (!first_whole && (first < last || right))
        split(p, set, first, 0);
    if (left)
        insert_block(p, 0);
    for (int i = 0; fresh && i < p->n; i++)
        if (set[i] && p->block[i] < 0)
            p->block[i] = left ? 0 : p->n_blocks;
    p->n_blocks += right;
    return 1;
}

/* Builds the order of the component of `set`; 0 if there is none. */
static int add_component(puzzle *p, int set)
{
    int found = set;
    for (int i = 0; i < p->n; i++)
        p->block[i] = p->member[(size_t)set * (size_t)p->n + (size_t)i] ? 0 : -1;
    p->n_blocks = 1;
    while (found >= 0) {
        p->done[found] = 1;
        found = -1;
        for (int s = 0; s < p->n_sets && found < 0; s++)
            for (int t = 0; t < p->n_sets && found < 0 && !p->done[s]; t++)
                if (p->done[t] == 1 && overlap(p, s, t))
                    found = s;
        if (found >= 0 && !add_set(p, p->member + (size_t)found * (size_t)p->n))
            return 0;
    }
    for (int s = 0; s < p->n_sets; s++)
        p->done[s] = p->done[s] ? 2 : 0;
    return 1;
}

static int can_be_consecutive(puzzle *p)
{
    memset(p->done, 0, (size_t)p->n_sets);
    for (int s = 0; s < p->n_sets; s++)
        if (!p->done[s] && !add_component(p, s))
            return 0;
    return 1;
}

/* ---- places from left to right ---- */

/* Whether `thing` may come next: every set that is begun and not complete must contain it. */
static int may_follow(const bs_order *o, int thing)
{
    const struct work *w = o->work;
    for (int s = 0; s < o->n_sets; s++)
        if (w->placed[s] > 0 && w->placed[s] < w->set_size[s] && !o->member[s * o->n + thing])
            return 0;
    return 1;
}

static void place(bs_order *o, int thing, int by)
{
    struct work *w = o->work;
    w->used[thing] = by > 0;
    for (int s = 0; s < o->n_sets; s++)
        w->placed[s] += o->member[s * o->n + thing] ? by : 0;
}

/* Whether the things without a place can be arranged. One thing more, number n, stands for those
 * with a place: it is at one end, and sets that are begun contain it. */
static int rest_fits(bs_order *o)
{
    struct work *w = o->work;
    puzzle *p = &w->rest;
    char *all = p->member;
    p->n_sets = 1;
    for (int i = 0; i < o->n; i++)
        all[i] = !w->used[i];
    all[o->n] = 0;
    for (int s = 0; s < o->n_sets; s++) {
        char *set = p->member + (size_t)p->n_sets * (size_t)p->n;
        if (w->placed[s] == w->set_size[s])
            continue;
        for (int i = 0; i < o->n; i++)
            set[i] = o->member[s * o->n + i] && !w->used[i];
        set[o->n] = w->placed[s] > 0;
        p->n_sets++;
    }
    return can_be_consecutive(p);
}

bs_status bs_order_open(bs_order *out, bs_arena *arena, int n, int n_sets, bs_error *err)
{
    struct work *w;
    *out = (bs_order){.n = n, .n_sets = n_sets};
    BS_TRY(BS_ARENA_NEW(arena, &out->member, (int64_t)n * n_sets, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &out->order, n, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w, 1, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->placed, n_sets, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->set_size, n_sets, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->used, n, "an order", err));
    w->rest.n = n + 1;
    BS_TRY(BS_ARENA_NEW(arena, &w->rest.member, (int64_t)(n + 1) * (n_sets + 1), "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->rest.block, n + 1, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->rest.size, n + 2, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->rest.count, n + 2, "an order", err));
    BS_TRY(BS_ARENA_NEW(arena, &w->rest.done, n_sets + 1, "an order", err));
    out->work = w;
    return BS_OK;
}

int bs_order_find(bs_order *o)
{
    struct work *w = o->work;
    for (int s = 0; s < o->n_sets; s++)
        for (int i = 0; i < o->n; i++)
            w->set_size[s] += o->member[s * o->n + i];
    for (int at = 0; at < o->n; at++) {
        int found = 0;
        for (int thing = 0; thing < o->n && !found; thing++) {
            if (w->used[thing] || !may_follow(o, thing))
                continue;
            place(o, thing, 1);
            o->order[at] = thing;
            found = rest_fits(o);
            if (!found)
                place(o, thing, -1);
        }
        if (!found)
            return 0;
    }
    return 1;
}
