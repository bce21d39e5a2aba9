/* conv_backward.h - what the parts of the backward pass of a convolution share.
 *
 * As forward, all work is done on zero-padded copies of images, where for one line i of the window
 * the kw*C values of a pixel follow each other. They are counted in vectors, the last of a line
 * filled up with what comes next: vector v of the window of a pixel stands at
 * window_offset(c, v) from its first input. Weights and sums of weight deltas have F rows of
 * `vectors` such vectors; what stands in the filled-up lanes is never looked at. */
#ifndef BS_HANDLERS_CPU_CONV_BACKWARD_H
#define BS_HANDLERS_CPU_CONV_BACKWARD_H

#include "handlers/cpu/images.h"

typedef struct conv_back {
    images in, d_in, out, d_out; /* d_in.data, out.data: NULL if not wanted or not needed */
    bs_activation activation;
    int64_t kh, kw, padding, stride_rows, stride_cols;
    int64_t lines, line, copy_size; /* of a padded image: lines, elements of one and of all */
    int64_t span_vectors, vectors;  /* of a line of the window, of the window */
} conv_back;

static inline int64_t window_offset(const conv_back *c, int64_t vector)
{
    return vector / c->span_vectors * c->line + vector % c->span_vectors * VEC;
}

/* Most vectors of the window that kernels take at a time, each at its own offset, and of those that
 * need the offsets less often. */
enum { GROUP = 5, WIDE_GROUP = 10 };

#define EACH_GROUP(X)      X(1) X(2) X(3) X(4) X(5)
#define EACH_WIDE_GROUP(X) EACH_GROUP(X) X(6) X(7) X(8) X(9) X(10)

/* The first of nearly equal groups of the vectors that are left. */
static inline int64_t group_size(int64_t left, int64_t most)
{
    return div_up(left, div_up(left, most));
}

/* Images [first, first + n) of the batch, whose padded copies follow each other. */
typedef struct image_group {
    int64_t first, n;
    real *copies;
} image_group;

/* ---- dense (conv_dense_tmpl.c) ---- */

/* Adds the sums over all pixels of the group to rows [filter, end) of `sums`. */
void K(dense_weight_deltas)(const conv_back *c, const image_group *g, int64_t filter, int64_t end,
                            real *sums);

/* Adds to in_deltas, of those images that are not marked as done. */
void K(dense_in_deltas)(bs_handler *h, const conv_back *c, bs_a_ weights,
                        const unsigned char *done);

/* ---- sparse (conv_sparse_tmpl.c) ---- */

typedef struct conv_term { /* a delta that is not 0 */
    real value;
    int32_t at; /* of its first input in the copies of the group */
} conv_term;

typedef struct conv_pixel { /* of out_deltas */
    int32_t first, end;     /* its terms */
    int32_t at;             /* of its first input in the copy of its image */
} conv_pixel;

typedef struct conv_terms {
    /* those of the group, by filters */
    conv_term *term; /* F lists of `room` */
    conv_term **end; /* of each */
    int64_t room;
    /* those of one image, by pixels */
    real *value;
    int32_t *filter;
    conv_pixel *pixel, *sorted; /* all in their order; `pixels` with terms, sorted */
    int64_t pixels;
    int32_t *of_size; /* F + 1 counts, for sorting */
} conv_terms;

/* Whether their places in a group of so many images fit into 32 bits. */
int K(conv_can_be_sparse)(const conv_back *c, int64_t group);
/* Takes scratch for them. Returns whether there was memory. */
int K(conv_take_terms)(bs_handler *h, const conv_back *c, int64_t group, conv_terms *t);
/* Adds image n, whose copy is `copy` elements behind the first, to the lists of filters, and makes
 * those of pixels new. */
void K(conv_find_terms)(const conv_back *c, int64_t n, int64_t copy, conv_terms *t);
/* Adds the sums over all terms of the group to `sums`, F rows. */
void K(sparse_weight_deltas)(const conv_back *c, const image_group *g, const conv_terms *t,
                             real *sums);
/* Adds to in_deltas of image n, the one whose terms are there by pixels; d_copy is room for a
 * padded image. */
void K(sparse_in_deltas)(const conv_back *c, int64_t n, const conv_terms *t, const real *weights,
                         real *d_copy);

/* ---- shared ---- */

/* Adds a padded image, of which nothing but the image itself counts, to in_deltas of image n. */
static inline void add_padded(const conv_back *c, int64_t n, const real *copy)
{
    for (int64_t row = 0; row < c->d_in.h; row++) {
        const real *from = copy + (row + c->padding) * c->line + c->padding * c->in.c;
        for (int64_t col = 0; col < c->d_in.w; col++, from += c->in.c) {
            real *to = pixel_at(&c->d_in, n, row, col);
            BS_IVDEP
            for (int64_t k = 0; k < c->in.c; k++)
                to[k] += from[k];
        }
    }
}

#endif
