/* images.h - batches of images (N, H, W, C) inside the engine's views, and zero-padded copies of
 * them.
 *
 * A view of images has its rows at whole images, at lines or at pixels (a slice of channels); these
 * strides cover all three. */
#ifndef BS_HANDLERS_CPU_IMAGES_H
#define BS_HANDLERS_CPU_IMAGES_H

#include <string.h>

#include "handlers/cpu/kernels.h"

typedef struct images {
    real *data;
    int64_t n, h, w, c;
    int64_t image, line, pixel; /* elements from one to the next; channels follow each other */
} images;

static inline images images_of(const bs_array *a)
{
    images out = {.data = a->data, .n = a->dim[0], .h = a->dim[1], .w = a->dim[2], .c = a->dim[3]};
    BS_ASSERT(a->ndim == 4 && a->lead <= 3);
    out.pixel = a->lead == 3 ? a->pitch : out.c;
    out.line = a->lead == 2 ? a->pitch : out.w * out.pixel;
    out.image = a->lead == 1 ? a->pitch : out.h * out.line;
    return out;
}

static inline real *pixel_at(const images *x, int64_t n, int64_t row, int64_t col)
{
    return x->data + n * x->image + row * x->line + col * x->pixel;
}

/* Lines [first, first + lines) of image n, counted in the padded image, into `to`: lines of w + 2 *
 * pad_cols pixels, zero where there is no image. */
static inline void copy_padded(const images *x, int64_t n, int64_t first, int64_t lines,
                               int64_t pad_rows, int64_t pad_cols, real *to)
{
    const int64_t length = (x->w + 2 * pad_cols) * x->c, edge = pad_cols * x->c;
    for (int64_t i = 0; i < lines; i++, to += length) {
        const int64_t row = first + i - pad_rows;
        if (row < 0 || row >= x->h) {
            memset(to, 0, (size_t)length * sizeof(real));
            continue;
        }
        memset(to, 0, (size_t)edge * sizeof(real));
        if (x->pixel == x->c)
            memcpy(to + edge, pixel_at(x, n, row, 0), (size_t)(x->w * x->c) * sizeof(real));
        else
            for (int64_t col = 0; col < x->w; col++)
                memcpy(to + edge + col * x->c, pixel_at(x, n, row, col),
                       (size_t)x->c * sizeof(real));
        memset(to + length - edge, 0, (size_t)edge * sizeof(real));
    }
}

/* Rounded up so that the copy of the next thread starts on BS_ALIGNMENT as well. */
static inline int64_t aligned_count(int64_t n)
{
    const int64_t unit = BS_ALIGNMENT / (int64_t)sizeof(real);
    return div_up(n, unit) * unit;
}

/* ---- correlation, the core of both directions of a convolution ---- */

/* out[n, y, x, :] = (or +=) start + sum over i, j of weights[i, j] in[n, y*stride_rows + i -
 * pad_rows, x*stride_cols + j - pad_cols, :], then the activation. */
typedef struct correlation {
    images in, out;
    int64_t kh, kw, pad_rows, pad_cols, stride_rows, stride_cols;
    const real *weights; /* panels of NR of out.c channels: panels x (kh, kw, in.c) x NR */
    const real *start;   /* panels x NR, or NULL for 0 */
    int add;
    bs_activation activation;
    const unsigned char *done; /* marks images that are left out; or NULL */
} correlation;

void K(correlate)(bs_handler *h, const correlation *c);

/* One line of the output for one panel of channels (conv_tile_tmpl.c): for each pixel, `segments`
 * of `length` inputs times as many rows of NR weights. */
typedef struct conv_line {
    const real *in, *weights, *start; /* of the first pixel; start may be NULL for 0 */
    real *out;
    int64_t pixels, channels; /* channels <= NR */
    int64_t segments, length;
    int64_t in_pixel, in_line, out_pixel; /* from one to the next */
    int add;                              /* what out holds is added */
} conv_line;

void K(conv_line)(const conv_line *l);

#endif
