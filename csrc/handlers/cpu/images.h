/* images.h - batches of images (N, H, W, C) inside the engine's views, and zero-padded copies of them.
 *
 * A view of images has its rows at whole images, at lines or at pixels (a slice of channels); these strides cover all three. */
#ifndef BS_HANDLERS_CPU_IMAGES_H
#define BS_HANDLERS_CPU_IMAGES_H

#include <string.h>

#include "handlers/cpu/kernels.h"

typedef struct images {
    real   *data;
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

/* Lines [first, first + lines) of image n, counted in the padded image, into `to`: lines of w + 2 * padding pixels, zero where
 * there is no image. */
static inline void copy_padded(const images *x, int64_t n, int64_t first, int64_t lines, int64_t padding, real *to)
{
    const int64_t length = (x->w + 2 * padding) * x->c, edge = padding * x->c;
    for (int64_t i = 0; i < lines; i++, to += length) {
        const int64_t row = first + i - padding;
        if (row < 0 || row >= x->h) {
            memset(to, 0, (size_t)length * sizeof(real));
            continue;
        }
        memset(to, 0, (size_t)edge * sizeof(real));
        if (x->pixel == x->c)
            memcpy(to + edge, pixel_at(x, n, row, 0), (size_t)(x->w * x->c) * sizeof(real));
        else
            for (int64_t col = 0; col < x->w; col++)
                memcpy(to + edge + col * x->c, pixel_at(x, n, row, col), (size_t)x->c * sizeof(real));
        memset(to + length - edge, 0, (size_t)edge * sizeof(real));
    }
}

#endif
