/* argmax.h - what all handlers have to say about the argmax of max pooling. */
#ifndef BS_HANDLERS_ARGMAX_H
#define BS_HANDLERS_ARGMAX_H

#include "handlers/handler.h"

/* Whether each place of images (N, H, W, C) is a different number in their dtype; else BS_VALUE. */
int bs_can_tell_places(bs_handler *h, const char *op, const bs_array *images);

#endif
