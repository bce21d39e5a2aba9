/* status.c - the text of an error. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bs_status bs_fail(bs_error *err, bs_status code, const char *fmt, ...)
{
    if (err && err->code == BS_OK) {
        va_list args;
        err->code = code;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
    }
    return code;
}

void bs_error_prefix(bs_error *err, const char *fmt, ...)
{
    char old[BS_ERROR_TEXT];
    va_list args;
    if (!err || err->code == BS_OK)
        return;
    memcpy(old, err->text, sizeof old);
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    const size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", old);
}

void bs_error_append(bs_error *err, const char *fmt, ...)
{
    va_list args;
    if (!err || err->code == BS_OK)
        return;
    const size_t used = strlen(err->text);
    va_start(args, fmt);
    vsnprintf(err->text + used, sizeof err->text - used, fmt, args);
    va_end(args);
}

void bs_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "brainstorm: %s:%d: broken promise: %s\n", file, line, cond);
    abort();
}
