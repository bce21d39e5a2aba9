/* test_order.c - orders with consecutive sets, against trying every permutation. */
#include "network/order.h"

#include "bs_test.h"

enum { MAX_THINGS = 6, MAX_SETS = 5 };

static int is_consecutive(const bs_order *o, const int *order)
{
    for (int s = 0; s < o->n_sets; s++) {
        int changes = 0, before = 0;
        for (int at = 0; at < o->n; at++) {
            const int now = o->member[s * o->n + order[at]];
            changes += now && !before;
            before = now;
        }
        if (changes > 1)
            return 0;
    }
    return 1;
}

/* The next permutation in lexicographic order; 0 after the last one. */
static int next_permutation(int *order, int n)
{
    int i = n - 2, k = n - 1;
    while (i >= 0 && order[i] > order[i + 1])
        i--;
    if (i < 0)
        return 0;
    while (order[k] < order[i])
        k--;
    const int pivot = order[i];
    order[i] = order[k];
    order[k] = pivot;
    for (int left = i + 1, right = n - 1; left < right; left++, right--) {
        const int swap = order[left];
        order[left] = order[right];
        order[right] = swap;
    }
    return 1;
}

/* The first permutation that serves all sets, by trying; 0 if there is none. */
static int by_trying(const bs_order *o, int *order)
{
    for (int i = 0; i < o->n; i++)
        order[i] = i;
    do {
        if (is_consecutive(o, order))
            return 1;
    } while (next_permutation(order, o->n));
    return 0;
}

BS_TEST(order_is_the_first_of_all_permutations)
{
    uint32_t random[4];
    int feasible = 0, infeasible = 0;
    for (uint64_t round = 0; round < 3000; round++) {
        bs_arena arena = {0};
        bs_order o;
        bs_error err = {0};
        int expected[MAX_THINGS];
        bs_philox(1, round, 0, random);
        const int n = 2 + (int)(random[0] % (MAX_THINGS - 1));
        const int n_sets = 1 + (int)(random[1] % MAX_SETS);
        CHECK(bs_order_open(&o, &arena, n, n_sets, &err) == BS_OK);
        for (int i = 0; i < n * n_sets; i++) {
            bs_philox(2, round, (uint64_t)i, random);
            o.member[i] = random[0] % 5 < 2;
        }
        const int possible = by_trying(&o, expected);
        CHECK(bs_order_find(&o) == possible);
        if (possible)
            CHECK(memcmp(o.order, expected, (size_t)n * sizeof *expected) == 0);
        feasible += possible;
        infeasible += !possible;
        bs_arena_close(&arena);
    }
    CHECK(feasible > 100 && infeasible > 100);
}

BS_TEST(order_of_many_things_that_cannot_be)
{
    enum { N = 60 };
    bs_arena arena = {0};
    bs_order o;
    bs_error err = {0};
    /* pairs 0-1, 0-2 and 0-3 cannot all be neighbours, whatever the other 56 do */
    CHECK(bs_order_open(&o, &arena, N, 3, &err) == BS_OK);
    for (int s = 0; s < 3; s++)
        o.member[s * N] = o.member[s * N + 1 + s] = 1;
    CHECK(!bs_order_find(&o));
    bs_arena_close(&arena);
}
