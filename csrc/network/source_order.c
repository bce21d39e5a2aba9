/* source_order.c - sources sorted by path, then ordered by what each port reads. */
#include "network/source_order.h"

#include <string.h>

#include "network/order.h"

static bs_path leaf_path(const bs_layout *layout, const bs_wiring *wiring, int index)
{
    const bs_leaf *leaf = &layout->leaf[index];
    return (bs_path){
        {wiring->layer[leaf->layer].name, bs_category_names[leaf->category], leaf->name}};
}

static void sort_by_path(const bs_layout *layout, const bs_wiring *wiring, int n, int *member)
{
    for (int i = 1; i < n; i++) {
        const int leaf = member[i];
        const bs_path path = leaf_path(layout, wiring, leaf);
        int k = i;
        for (; k > 0; k--) {
            const bs_path other = leaf_path(layout, wiring, member[k - 1]);
            if (bs_path_compare(&other, &path) < 0)
                break;
            member[k] = member[k - 1];
        }
        member[k] = leaf;
    }
}

/* Makes a set of the sources member[0 .. o->n) that each port reads. */
static void collect_sets(const bs_layout *layout, const bs_wiring *wiring, const int *member,
                         bs_order *o)
{
    int set = 0;
    for (int l = 0; l < wiring->n; l++)
        for (int p = 0; p < wiring->layer[l].in.n; p++, set++) {
            const bs_sources *s = &wiring->sources[l][p];
            for (int k = 0; k < s->n; k++)
                for (int i = 0; i < o->n; i++)
                    if (bs_source_leaf(layout, &s->source[k]) == member[i])
                        o->member[set * o->n + i] = 1;
        }
}

bs_status bs_order_sources(const bs_layout *layout, const bs_wiring *wiring, bs_arena *arena, int n,
                           int *member, bs_error *err)
{
    bs_order o;
    int n_ports = 0, *sorted;
    if (n < 2)
        return BS_OK;
    sort_by_path(layout, wiring, n, member);
    for (int l = 0; l < wiring->n; l++)
        n_ports += wiring->layer[l].in.n;
    BS_TRY(bs_order_open(&o, arena, n, n_ports, err));
    BS_TRY(BS_ARENA_NEW(arena, &sorted, n, "a layout", err));
    collect_sets(layout, wiring, member, &o);
    if (!bs_order_find(&o)) {
        const bs_path first = leaf_path(layout, wiring, member[0]);
        return bs_fail(err, BS_NETWORK,
                       "no order of the %d sources that are joined with %s.%s.%s puts those of "
                       "every input side by side",
                       n, first.part[0], first.part[1], first.part[2]);
    }
    memcpy(sorted, member, (size_t)n * sizeof *member);
    for (int i = 0; i < n; i++)
        member[i] = sorted[o.order[i]];
    return BS_OK;
}
