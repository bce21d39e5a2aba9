/* status.h - how a function says that it failed: a code, and one line of text on the caller's
 * stack. */
#ifndef BS_BASE_STATUS_H
#define BS_BASE_STATUS_H

/* One row per code; csrc/python/errors.c has the exception that belongs to each. */
#define BS_STATUS_LIST(X)                                                                          \
    X(OK)        /* success                                                                  */    \
    X(NO_MEMORY) /* an allocation failed                                                     */    \
    X(VALUE)     /* an argument has a value, shape or kind that is not accepted              */    \
    X(TYPE)      /* an argument has the wrong type                                           */    \
    X(INDEX)     /* an id or position is out of range                                        */    \
    X(KEY)       /* no object of that name                                                   */    \
    X(LAYER)     /* a layer cannot be built like this                                        */    \
    X(NETWORK)   /* layers cannot be wired like this                                         */    \
    X(STATE)     /* the object is busy, or not ready for this call                           */    \
    X(DEVICE)    /* a library or device cannot be used                                       */    \
    X(CALLBACK)  /* user code failed and keeps its own error                                 */

typedef enum bs_status {
#define X(name) BS_##name,
    BS_STATUS_LIST(X)
#undef X
} bs_status;

enum { BS_ERROR_TEXT = 512 };

typedef struct bs_error {
    bs_status code;
    char text[BS_ERROR_TEXT]; /* one line; names the thing, what came, what was expected */
} bs_error;

#if defined(__GNUC__)
#define BS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define BS_PRINTF(fmt, args)
#endif

/* Stores code and text unless err is NULL or already holds a failure (the first one is kept).
 * Returns code. */
bs_status bs_fail(bs_error *err, bs_status code, const char *fmt, ...) BS_PRINTF(3, 4);

/* Puts text in front of the stored line: "layer 'Hid': ..." + ": " + what was there. */
void bs_error_prefix(bs_error *err, const char *fmt, ...) BS_PRINTF(2, 3);

/* Puts text behind the stored line, such as the names that exist one by one. */
void bs_error_append(bs_error *err, const char *fmt, ...) BS_PRINTF(2, 3);

/* Returns from the calling function if expr fails. */
#define BS_TRY(expr)                                                                               \
    do {                                                                                           \
        const bs_status try_ = (expr);                                                             \
        if (try_ != BS_OK)                                                                         \
            return try_;                                                                           \
    } while (0)

/* Goes to the label `done` of the calling function, with its `status` set, if expr fails. */
#define BS_TRY_DONE(expr)                                                                          \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != BS_OK)                                                                       \
            goto done;                                                                             \
    } while (0)

/* A broken promise inside the engine: prints the place and aborts, in every build. */
#define BS_ASSERT(cond) ((cond) ? (void)0 : bs_assert_failed(#cond, __FILE__, __LINE__))
void bs_assert_failed(const char *cond, const char *file, int line);

#endif
