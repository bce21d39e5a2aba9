/* array.h - bs_array, a view of numbers that belong to somebody else.
 *
 * dim[0 .. lead) count rows; dim[lead .. ndim) make up one packed row; `pitch` elements lie between
 * the starts of two rows. So every array is a matrix rows x cols with a pitch, which is enough for
 * slices of time, for columns of a wider matrix (two layers side by side in one hub) and for images
 * sliced along channels (a row is a pixel). The engine has no other strides. */
#ifndef BS_ARRAY_ARRAY_H
#define BS_ARRAY_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    BS_MAX_FEATURES = 4,              /* feature dimensions of a buffer */
    BS_MAX_NDIM = 2 + BS_MAX_FEATURES /* time, batch, features */
};

typedef enum bs_dtype { BS_F32, BS_F64 } bs_dtype;

typedef struct bs_array {
    void *data;               /* element [0, 0, ...]; borrowed */
    int64_t dim[BS_MAX_NDIM]; /* shape */
    int64_t pitch;            /* elements from one row to the next, >= cols */
    int8_t ndim, lead;        /* 0 <= lead <= ndim <= BS_MAX_NDIM; lead 0: one single row */
    int8_t dtype;             /* a bs_dtype */
} bs_array;

static inline size_t bs_dtype_size(int dtype)
{
    return dtype == BS_F64 ? 8 : 4;
}

static inline int64_t bs_rows(const bs_array *a) /* product of dim[0 .. lead) */
{
    int64_t n = 1;
    for (int i = 0; i < a->lead; i++)
        n *= a->dim[i];
    return n;
}

static inline int64_t bs_cols(const bs_array *a) /* product of dim[lead .. ndim) */
{
    int64_t n = 1;
    for (int i = a->lead; i < a->ndim; i++)
        n *= a->dim[i];
    return n;
}

static inline int64_t bs_count(const bs_array *a) /* number of elements */
{
    return bs_rows(a) * bs_cols(a);
}

/* Rows follow each other without a gap. */
static inline int bs_is_packed(const bs_array *a)
{
    return a->pitch == bs_cols(a) || bs_rows(a) <= 1;
}

static inline int bs_same_shape(const bs_array *a, const bs_array *b)
{
    if (a->ndim != b->ndim)
        return 0;
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i])
            return 0;
    return 1;
}

/* A packed array of the given shape with one row (lead 0). */
bs_array bs_array_packed(void *data, bs_dtype dtype, int ndim, const int64_t *dim);

/* Whether bs_with_lead(a, lead) can express a. Packed arrays take any lead. */
int bs_has_lead(const bs_array *a, int lead);

/* The same view with its rows made of the first `lead` dimensions. Asserts bs_has_lead. */
bs_array bs_with_lead(const bs_array *a, int lead);

/* The 2-D view (product of dim[0 .. lead), product of the rest). Asserts bs_has_lead. */
bs_array bs_matrix(const bs_array *a, int lead);

/* The view of the same memory with index i (or start .. start+n) of the first dimension. */
bs_array bs_at(const bs_array *a, int64_t i);
bs_array bs_slice(const bs_array *a, int64_t start, int64_t n);

/* The view of columns start .. start+n of an array whose rows are its last dimension. */
bs_array bs_columns(const bs_array *a, int64_t start, int64_t n);

/* Whether an element of a is also an element of b. Exact for views with the same pitch, else by
 * address ranges. */
int bs_overlaps(const bs_array *a, const bs_array *b);

/* Whether each row of b begins where the row of a ends. */
int bs_continues(const bs_array *a, const bs_array *b);

/* Whether a and b are the same elements in the same places. */
int bs_is_same_view(const bs_array *a, const bs_array *b);

/* Writes "(2, 3, 4)" into text; always terminated. */
void bs_dims_text(char *text, size_t size, int ndim, const int64_t *dim);

#endif
