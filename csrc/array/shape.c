/* shape.c - comparing shapes, matching templates, and shapes as text. */
#include "array/shape.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bs_shape_equal(const bs_shape *a, const bs_shape *b)
{
    return a->scale == b->scale && a->ndim == b->ndim &&
           memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim) == 0;
}

void bs_shape_text(char *text, size_t size, const bs_shape *s)
{
    static const char *const heads[] = {"(", "('B'", "('T', 'B'"};
    size_t used = (size_t)snprintf(text, size, "%s", heads[s->scale]);
    for (int i = 0; i < s->ndim && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld",
                                 i || s->scale != BS_FIXED ? ", " : "", (long long)s->dim[i]);
    if (used < size)
        snprintf(text + used, size - used, (int)s->scale + s->ndim == 1 ? ",)" : ")");
}

/* Reads the next word of the pattern; returns its length, 0 at the end. */
static size_t next_word(const char **pattern)
{
    *pattern += strspn(*pattern, " ");
    return strcspn(*pattern, " ");
}

int bs_shape_matches(const bs_shape *s, const char *pattern)
{
    size_t length = next_word(&pattern);
    int i = 0;
    if (length == 3 && strncmp(pattern, "...", 3) == 0)
        return 1;
    const bs_scale scale = length == 1 && *pattern == 'T'   ? BS_TIME
                           : length == 1 && *pattern == 'B' ? BS_BATCH
                                                            : BS_FIXED;
    if (scale != s->scale)
        return 0;
    pattern += scale == BS_TIME ? strcspn(pattern, "B") + 1 : scale == BS_BATCH ? 1 : 0;
    for (; (length = next_word(&pattern)) != 0; pattern += length, i++) {
        if (strncmp(pattern, "...", 3) == 0)
            return 1;
        if (i >= s->ndim || (isdigit((unsigned char)*pattern) && atoll(pattern) != s->dim[i]))
            return 0;
    }
    return i == s->ndim;
}
