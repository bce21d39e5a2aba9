/* shape.h - how big a buffer is before T (time steps) and B (batch size) are known, and templates
 * of such shapes. */
#ifndef BS_ARRAY_SHAPE_H
#define BS_ARRAY_SHAPE_H

#include "array/array.h"

/* Most numbers in one buffer, for one time step of one sequence. Far beyond any memory; so sums
 * over all buffers of a network do not overflow. */
#define BS_MAX_SIZE ((int64_t)1 << 44)

/* What a buffer's size grows with. The numbers are the `buffer_type` of the Python side. */
typedef enum bs_scale { BS_FIXED, BS_BATCH, BS_TIME } bs_scale;

/* The shape of a buffer: ('T', 'B', dim...), ('B', dim...) or (dim...). */
typedef struct bs_shape {
    bs_scale scale;
    int ndim; /* of the features (for BS_FIXED: up to BS_MAX_NDIM all together) */
    int64_t dim[BS_MAX_NDIM];
    int context;       /* extra time slots behind the last step: 0 or 1, only with BS_TIME */
    int backward_only; /* lives in the backward block */
} bs_shape;

static inline int64_t bs_shape_size(const bs_shape *s) /* product of the feature dimensions */
{
    int64_t n = 1;
    for (int i = 0; i < s->ndim; i++)
        n *= s->dim[i];
    return n;
}

/* Same scale and feature dimensions (context and backward_only do not count). */
int bs_shape_equal(const bs_shape *a, const bs_shape *b);

/* Short ways to write a shape. */
static inline bs_shape bs_time_shape(int64_t n)
{
    return (bs_shape){.scale = BS_TIME, .ndim = 1, .dim = {n}};
}
static inline bs_shape bs_fixed_1d(int64_t n)
{
    return (bs_shape){.scale = BS_FIXED, .ndim = 1, .dim = {n}};
}
static inline bs_shape bs_fixed_2d(int64_t rows, int64_t cols)
{
    return (bs_shape){.scale = BS_FIXED, .ndim = 2, .dim = {rows, cols}};
}

/* Writes "('T', 'B', 28, 28)"; always terminated. */
void bs_shape_text(char *text, size_t size, const bs_shape *s);

/* A template is a text of words: "T B ..." any features, "T B 1", "T B F" one dimension, "T B H W
 * C" three dimensions of any size, "..." any shape at all, "3 4" just that one. A word of letters
 * other than T and B stands for any size. */
int bs_shape_matches(const bs_shape *s, const char *pattern);

#endif
