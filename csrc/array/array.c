/* array.c - views of views, and whether two of them share elements. */
#include "array/array.h"

#include <stdio.h>
#include <string.h>

bs_array bs_array_packed(void *data, bs_dtype dtype, int ndim, const int64_t *dim)
{
    bs_array a = {.data = data, .ndim = (int8_t)ndim, .lead = 0, .dtype = (int8_t)dtype};
    BS_ASSERT(ndim >= 0 && ndim <= BS_MAX_NDIM);
    for (int i = 0; i < ndim; i++)
        a.dim[i] = dim[i];
    a.pitch = bs_cols(&a);
    return a;
}

int bs_has_lead(const bs_array *a, int lead)
{
    if (lead < 0 || lead > a->ndim)
        return 0;
    if (lead == a->lead || bs_is_packed(a))
        return 1;
    /* a dimension of size 1 may stand on either side of the cut */
    for (int i = lead < a->lead ? lead : a->lead; i < (lead < a->lead ? a->lead : lead); i++)
        if (a->dim[i] != 1)
            return 0;
    return 1;
}

bs_array bs_with_lead(const bs_array *a, int lead)
{
    bs_array out = *a;
    BS_ASSERT(bs_has_lead(a, lead));
    if (lead != a->lead) {
        out.lead = (int8_t)lead;
        if (bs_is_packed(a))
            out.pitch = bs_cols(&out);
    }
    return out;
}

bs_array bs_matrix(const bs_array *a, int lead)
{
    const bs_array view = bs_with_lead(a, lead);
    return (bs_array){.data = view.data,
                      .dim = {bs_rows(&view), bs_cols(&view)},
                      .pitch = view.pitch,
                      .ndim = 2,
                      .lead = 1,
                      .dtype = view.dtype};
}

bs_array bs_slice(const bs_array *a, int64_t start, int64_t n)
{
    /* with lead 0 the first dimension lies inside the one row, whose parts are packed again */
    bs_array out = a->lead ? *a : bs_with_lead(a, a->ndim ? 1 : 0);
    int64_t step = out.pitch;
    BS_ASSERT(a->ndim > 0 && start >= 0 && n >= 0 && start + n <= a->dim[0]);
    for (int i = 1; i < out.lead; i++)
        step *= out.dim[i];
    out.data = (char *)out.data + (size_t)(start * step) * bs_dtype_size(a->dtype);
    out.dim[0] = n;
    return out;
}

bs_array bs_at(const bs_array *a, int64_t i)
{
    bs_array out = bs_slice(a, i, 1);
    for (int d = 1; d < out.ndim; d++)
        out.dim[d - 1] = out.dim[d];
    out.ndim--;
    out.lead--;
    if (out.lead == 0)
        out.pitch = bs_cols(&out);
    return out;
}

bs_array bs_columns(const bs_array *a, int64_t start, int64_t n)
{
    bs_array out = *a;
    const int last = a->ndim - 1;
    BS_ASSERT(a->lead == last && start >= 0 && n >= 0 && start + n <= a->dim[last]);
    if (a->data)
        out.data = (char *)a->data + (size_t)start * bs_dtype_size(a->dtype);
    out.dim[last] = n;
    return out;
}

/* Bytes from the first element to behind the last one. */
static int64_t extent(const bs_array *a)
{
    return bs_count(a) == 0
               ? 0
               : ((bs_rows(a) - 1) * a->pitch + bs_cols(a)) * (int64_t)bs_dtype_size(a->dtype);
}

int bs_overlaps(const bs_array *a, const bs_array *b)
{
    const int64_t gap = (int64_t)((intptr_t)b->data - (intptr_t)a->data); /* bytes from a to b */
    if (!a->data || !b->data || gap >= extent(a) || -gap >= extent(b))
        return 0;
    const int64_t size = (int64_t)bs_dtype_size(a->dtype);
    if (a->dtype == b->dtype && a->pitch == b->pitch && gap % size == 0 && !bs_is_packed(a) &&
        !bs_is_packed(b)) {
        /* columns of one matrix: b starts `shift` columns behind the start of a row of a */
        const int64_t shift = ((gap / size) % a->pitch + a->pitch) % a->pitch;
        return shift < bs_cols(a) || shift + bs_cols(b) > a->pitch;
    }
    return 1;
}

int bs_continues(const bs_array *a, const bs_array *b)
{
    return a->pitch == b->pitch && bs_rows(a) == bs_rows(b) &&
           (char *)b->data == (char *)a->data + (size_t)bs_cols(a) * bs_dtype_size(a->dtype);
}

int bs_is_same_view(const bs_array *a, const bs_array *b)
{
    return a->data == b->data && a->dtype == b->dtype && bs_count(a) == bs_count(b) &&
           ((bs_is_packed(a) && bs_is_packed(b)) ||
            (a->pitch == b->pitch && bs_cols(a) == bs_cols(b)));
}

void bs_dims_text(char *text, size_t size, int ndim, const int64_t *dim)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < ndim && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "",
                                 (long long)dim[i]);
    if (used < size)
        snprintf(text + used, size - used, ndim == 1 ? ",)" : ")");
}
