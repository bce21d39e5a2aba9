/* handler.h - operations on arrays, as layers, steppers and the network see them.
 *
 * A *device* is an opened handler: a complete table of operations plus memory functions; it keeps
 * no state of a call, so many networks and threads share one. A *handle* (bs_handler) belongs to
 * one running program: it carries the sticky error, the scratch memory and the random stream.
 * Operations take the handle first.
 *
 * An operation returns nothing. A failure (no memory for scratch, an id out of range, a lost
 * device) is stored in the handle, and from then on every forwarder bs_<operation> does nothing, so
 * callers check once, at the end. An error about an argument begins with the operation's name. */
#ifndef BS_HANDLERS_HANDLER_H
#define BS_HANDLERS_HANDLER_H

#include "array/array.h"
#include "base/memory.h"
#include "base/philox.h"
#include "handlers/activation.h"

typedef struct bs_handler bs_handler;

/* Window, stride (in rows and columns) and zero padding (on each side) of an image operation. A
 * convolution's window is the shape of its weights; the two fields are not read there. */
typedef struct bs_window {
    int64_t rows, cols, stride_rows, stride_cols, padding;
} bs_window;

/* ---- signatures: A array (A5: five of them), S scalar, I int, W window ---- */

typedef const bs_array *bs_a_; /* shorter lines below */
typedef void bs_op_AA(bs_handler *h, bs_a_ a, bs_a_ b);
typedef void bs_op_AAA(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c);
typedef void bs_op_AAAA(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d);
typedef void bs_op_AS(bs_handler *h, bs_a_ a, double s);
typedef void bs_op_ASA(bs_handler *h, bs_a_ a, double s, bs_a_ b);
typedef void bs_op_ASSA(bs_handler *h, bs_a_ a, double s, double t, bs_a_ b);
typedef void bs_op_SAA(bs_handler *h, double s, bs_a_ a, bs_a_ b);
typedef void bs_op_SAAA(bs_handler *h, double s, bs_a_ a, bs_a_ b, bs_a_ c);
typedef void bs_op_SSA(bs_handler *h, double s, double t, bs_a_ a);
typedef void bs_op_SSAAA(bs_handler *h, double s, double t, bs_a_ a, bs_a_ b, bs_a_ c);
typedef void bs_op_SSA5II(bs_handler *h, double s, double t, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d,
                          bs_a_ e, int i, int j);
typedef void bs_op_AIA(bs_handler *h, bs_a_ a, int i, bs_a_ b);
typedef void bs_op_AAAII(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, int i, int j);
typedef void bs_op_AAAAI(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, int i);
typedef void bs_op_AAW(bs_handler *h, bs_a_ a, bs_a_ b, const bs_window *w);
typedef void bs_op_AAAW(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, const bs_window *w);
typedef void bs_op_AAAAW(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, const bs_window *w);
typedef void bs_op_AAAAAW(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,
                          const bs_window *w);
typedef void bs_op_AAAAAAW(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f,
                           const bs_window *w);
typedef void bs_op_A4IW(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, int i,
                        const bs_window *w);
typedef void bs_op_A7IW(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f,
                        bs_a_ g, int i, const bs_window *w);
typedef void bs_op_S3A4(bs_handler *h, double s, double t, double u, bs_a_ a, bs_a_ b, bs_a_ c,
                        bs_a_ d);
typedef void bs_op_S4A4(bs_handler *h, double s, double t, double u, double v, bs_a_ a, bs_a_ b,
                        bs_a_ c, bs_a_ d);
typedef void bs_op_S6A4(bs_handler *h, double s, double t, double u, double v, double w, double x,
                        bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d);
typedef void bs_op_A5I(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, int i);
typedef void bs_op_A7I(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g,
                       int i);
typedef void bs_op_A9I(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, bs_a_ g,
                       bs_a_ k, bs_a_ l, int i);
typedef void bs_op_A10I(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f,
                        bs_a_ g, bs_a_ k, bs_a_ l, bs_a_ m, int i);
typedef void bs_op_A11I(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f,
                        bs_a_ g, bs_a_ k, bs_a_ l, bs_a_ m, bs_a_ n, int i);
typedef void bs_op_A12I(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f,
                        bs_a_ g, bs_a_ k, bs_a_ l, bs_a_ m, bs_a_ n, bs_a_ o, int i);

enum { BS_ALL_AXES = -1 }; /* sum_t's axis None */

/* ---- the table ---- */

typedef struct bs_ops {
#define BS_OP(name, need, rule, signature, arguments, formula) bs_op_##signature *name;
#include "handlers/ops.def"
} bs_ops;

/* ---- devices ---- */

typedef struct bs_device bs_device;

/* What a handler may be told beyond the dtype; all zero is the default. The CPU has no use for it.
 */
typedef struct bs_device_options {
    int number; /* which one of several devices */
    int tf32;   /* products may round float32 to TensorFloat-32 */
} bs_device_options;

/* What a handler's folder exports: one const of this type, with a row in handlers.def. */
typedef struct bs_handler_type {
    const char *name; /* "cpu" */
    int host_memory;  /* its arrays can be read and written by the host */
    /* Fills impl, ops (holes allowed for OPTIONAL rows) and the functions of bs_device. */
    bs_status (*open)(bs_device *device, bs_error *err);
    void (*close)(bs_device *device); /* also of a half-opened device; may be NULL */
    /* A fact about this handler here ("instruction_set", "instruction_sets", "blas"; "devices", one
     * a line), or NULL. */
    const char *(*info)(const char *key);
} bs_handler_type;

struct bs_device {
    bs_ops ops; /* complete after bs_device_open */
    const bs_handler_type *type;
    bs_dtype dtype;
    bs_device_options options;
    int64_t references;
    void *impl;               /* the handler's own */
    struct bs_device *memory; /* whose memory its arrays lie in: itself, or the one that it wraps */
    /* Zeroed memory with one reference on a 64-byte boundary; NULL and the reason if there is none.
     */
    bs_block *(*allocate)(bs_device *device, size_t bytes, bs_error *err);
    /* Copies between an array of the device and a packed host array of the same shape and dtype. */
    bs_status (*write)(bs_device *device, const bs_array *array, const void *host, bs_error *err);
    bs_status (*read)(bs_device *device, const bs_array *array, void *host, bs_error *err);
    /* 1 if there is no NaN and no infinity. */
    int (*is_fully_finite)(bs_handler *h, const bs_array *a);
    /* BS_VALUE with this text if there is: at once, or when the pass ends. `what` lives on. NULL:
     * by is_fully_finite. */
    void (*expect_finite)(bs_handler *h, const bs_array *a, const char *what);
    /* For devices that work while the host goes on; all of them may be NULL. `finish` waits for
     * what may still fail because of the data, and puts it into the sticky error. What comes
     * between begin_step and end_step, an update, is likely to come again just so, and may be put
     * off until then; `flush` ends that, before somebody else looks at arrays. end_step does not
     * wait for its update but for the one before, whose error it gets; its own is got by the next
     * end_step or finish. `close_handle` frees h->impl.
     */
    void (*finish)(bs_handler *h);
    void (*begin_step)(bs_handler *h);
    void (*end_step)(bs_handler *h);
    void (*flush)(bs_handler *h);
    void (*close_handle)(bs_handler *h);
    /* Waits for the work that others have put on a stream of theirs, or for that of all handles
     * (NULL). For devices with memory of their own. */
    bs_status (*wait_for_stream)(bs_device *device, void *stream, bs_error *err);
    /* For devices with memory of their own: to write an array without waiting for the work of
     * before. `stage` gives memory of the host for so many bytes (> 0), or NULL where there is
     * none, which may be an error; `upload` is the next call, and copies what was put there,
     * packed, to an array. */
    void *(*stage)(bs_handler *h, size_t bytes);
    void (*upload)(bs_handler *h, const bs_array *to);
    /* BS_OK if memory of others lies on this device, else BS_VALUE and where it lies. */
    bs_status (*check_memory)(bs_device *device, const void *at, bs_error *err);
};

/* Opens the handler called `name` with one reference, or fails: BS_KEY (no such handler), BS_DEVICE
 * (a table with a hole, or the handler's own reason). Options may be NULL. */
bs_status bs_device_open(bs_device **out, const char *name, bs_dtype dtype,
                         const bs_device_options *options, bs_error *err);
/* The same for a type that needs no row in handlers.def. */
bs_status bs_device_open_type(bs_device **out, const bs_handler_type *type, bs_dtype dtype,
                              const bs_device_options *options, bs_error *err);
bs_device *bs_device_retain(bs_device *device);
void bs_device_release(bs_device *device); /* NULL is allowed */

/* Rows of handlers.def: names, NULL-terminated. */
extern const char *const bs_handler_names[];

/* What the handler called `name` says about `key` (see bs_handler_type.info), or NULL. */
const char *bs_handler_info(const char *name, const char *key);

/* ---- handles ---- */

struct bs_handler {
    const bs_ops *ops;
    bs_device *device;
    bs_dtype dtype;
    bs_stream *stream;   /* borrowed; random operations take its next draw */
    bs_error error;      /* sticky */
    int is_updating;     /* operations change parameters: not after the data was found wrong */
    int64_t left_out;    /* updates that were told of late, since their data was wrong */
    const char *running; /* the layer that a program is at, or NULL; for errors */
    void *impl;          /* the device's own */
    struct {
        bs_block *chunk[16]; /* of growing size; kept until the handle is closed */
        int n_chunks;
        int current; /* the chunk that is being filled; those behind it are free */
        size_t used; /* bytes of the current chunk */
    } scratch;
};

/* Borrows device and stream, which must outlive the handle. Allocates nothing. */
void bs_handler_init(bs_handler *h, bs_device *device, bs_stream *stream);
void bs_handler_close(bs_handler *h); /* frees the scratch */

/* See bs_device. Between begin_step and end_step, finish does nothing. */
static inline void bs_handler_finish(bs_handler *h)
{
    if (h->device->finish)
        h->device->finish(h);
}
static inline void bs_handler_begin_step(bs_handler *h)
{
    if (h->device->begin_step)
        h->device->begin_step(h);
}
static inline void bs_handler_end_step(bs_handler *h)
{
    if (h->device->end_step)
        h->device->end_step(h);
}
static inline void bs_handler_flush(bs_handler *h)
{
    if (h->device->flush)
        h->device->flush(h);
}

/* Scratch memory, valid until the mark taken before it is released. Content is arbitrary, start is
 * 64-byte aligned. After the first pass at a size nothing is allocated any more. No memory: NULL
 * and the sticky error. */
typedef struct bs_mark {
    int chunk;
    size_t used;
} bs_mark;
bs_mark bs_scratch_mark(const bs_handler *h);
void bs_scratch_release(bs_handler *h, bs_mark mark);
void *bs_scratch_take(bs_handler *h, size_t bytes);
bs_array bs_scratch_like(bs_handler *h, const bs_array *a); /* packed, same shape and lead */
bs_array bs_scratch_array(bs_handler *h, int ndim, const int64_t *dim); /* packed, lead 0 */
bs_block *bs_scratch_block(const bs_handler *h, const void *data); /* that data lies in; borrowed */

/* ---- forwarders: bs_add_tt(h, a, b, out) and so on ---- */

#define BS_CALL_(name, ...)                                                                        \
    {                                                                                              \
        if (h->error.code == BS_OK)                                                                \
            h->ops->name(h, __VA_ARGS__);                                                          \
    }
#define BS_FWD_AA(n) static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b) BS_CALL_(n, a, b)
#define BS_FWD_AAA(n)                                                                              \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c) BS_CALL_(n, a, b, c)
#define BS_FWD_AAAA(n)                                                                             \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d)                   \
        BS_CALL_(n, a, b, c, d)
#define BS_FWD_AS(n) static inline void bs_##n(bs_handler *h, bs_a_ a, double s) BS_CALL_(n, a, s)
#define BS_FWD_ASA(n)                                                                              \
    static inline void bs_##n(bs_handler *h, bs_a_ a, double s, bs_a_ b) BS_CALL_(n, a, s, b)
#define BS_FWD_ASSA(n)                                                                             \
    static inline void bs_##n(bs_handler *h, bs_a_ a, double s, double t, bs_a_ b)                 \
        BS_CALL_(n, a, s, t, b)
#define BS_FWD_SAA(n)                                                                              \
    static inline void bs_##n(bs_handler *h, double s, bs_a_ a, bs_a_ b) BS_CALL_(n, s, a, b)
#define BS_FWD_SAAA(n)                                                                             \
    static inline void bs_##n(bs_handler *h, double s, bs_a_ a, bs_a_ b, bs_a_ c)                  \
        BS_CALL_(n, s, a, b, c)
#define BS_FWD_SSA(n)                                                                              \
    static inline void bs_##n(bs_handler *h, double s, double t, bs_a_ a) BS_CALL_(n, s, t, a)
#define BS_FWD_SSAAA(n)                                                                            \
    static inline void bs_##n(bs_handler *h, double s, double t, bs_a_ a, bs_a_ b, bs_a_ c)        \
        BS_CALL_(n, s, t, a, b, c)
#define BS_FWD_SSA5II(n)                                                                           \
    static inline void bs_##n(bs_handler *h, double s, double t, bs_a_ a, bs_a_ b, bs_a_ c,        \
                              bs_a_ d, bs_a_ e, int i, int j)                                      \
        BS_CALL_(n, s, t, a, b, c, d, e, i, j)
#define BS_FWD_AIA(n)                                                                              \
    static inline void bs_##n(bs_handler *h, bs_a_ a, int i, bs_a_ b) BS_CALL_(n, a, i, b)
#define BS_FWD_AAAII(n)                                                                            \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, int i, int j)              \
        BS_CALL_(n, a, b, c, i, j)
#define BS_FWD_AAAAI(n)                                                                            \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, int i)            \
        BS_CALL_(n, a, b, c, d, i)
#define BS_FWD_AAW(n)                                                                              \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, const bs_window *w)                 \
        BS_CALL_(n, a, b, w)
#define BS_FWD_AAAW(n)                                                                             \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, const bs_window *w)        \
        BS_CALL_(n, a, b, c, w)
#define BS_FWD_AAAAW(n)                                                                            \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d,                   \
                              const bs_window *w) BS_CALL_(n, a, b, c, d, w)
#define BS_FWD_AAAAAW(n)                                                                           \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,          \
                              const bs_window *w) BS_CALL_(n, a, b, c, d, e, w)
#define BS_FWD_AAAAAAW(n)                                                                          \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, \
                              const bs_window *w) BS_CALL_(n, a, b, c, d, e, f, w)
#define BS_FWD_A4IW(n)                                                                             \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, int i,            \
                              const bs_window *w) BS_CALL_(n, a, b, c, d, i, w)
#define BS_FWD_A7IW(n)                                                                             \
    static inline void bs_##n(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, bs_a_ f, \
                              bs_a_ g, int i, const bs_window *w)                                  \
        BS_CALL_(n, a, b, c, d, e, f, g, i, w)
#define BS_FWD_S3A4(op)                                                                            \
    static inline void bs_##op(bs_handler *h, double s, double t, double u, bs_a_ a, bs_a_ b,      \
                               bs_a_ c, bs_a_ d) BS_CALL_(op, s, t, u, a, b, c, d)
#define BS_FWD_S4A4(op)                                                                            \
    static inline void bs_##op(bs_handler *h, double s, double t, double u, double v, bs_a_ a,     \
                               bs_a_ b, bs_a_ c, bs_a_ d) BS_CALL_(op, s, t, u, v, a, b, c, d)
#define BS_FWD_S6A4(op)                                                                            \
    static inline void bs_##op(bs_handler *h, double s, double t, double u, double v, double w,    \
                               double x, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d)                       \
        BS_CALL_(op, s, t, u, v, w, x, a, b, c, d)
#define BS_FWD_A5I(op)                                                                             \
    static inline void bs_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e, int i)  \
        BS_CALL_(op, a, b, c, d, e, i)
#define BS_FWD_A7I(op)                                                                             \
    static inline void bs_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,         \
                               bs_a_ f, bs_a_ g, int i) BS_CALL_(op, a, b, c, d, e, f, g, i)
#define BS_FWD_A9I(op)                                                                             \
    static inline void bs_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,         \
                               bs_a_ f, bs_a_ g, bs_a_ k, bs_a_ l, int i)                          \
        BS_CALL_(op, a, b, c, d, e, f, g, k, l, i)
#define BS_FWD_A10I(op)                                                                            \
    static inline void bs_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,         \
                               bs_a_ f, bs_a_ g, bs_a_ k, bs_a_ l, bs_a_ m, int i)                 \
        BS_CALL_(op, a, b, c, d, e, f, g, k, l, m, i)
#define BS_FWD_A11I(op)                                                                            \
    static inline void bs_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,         \
                               bs_a_ f, bs_a_ g, bs_a_ k, bs_a_ l, bs_a_ m, bs_a_ n, int i)        \
        BS_CALL_(op, a, b, c, d, e, f, g, k, l, m, n, i)
#define BS_FWD_A12I(op)                                                                            \
    static inline void bs_##op(bs_handler *h, bs_a_ a, bs_a_ b, bs_a_ c, bs_a_ d, bs_a_ e,         \
                               bs_a_ f, bs_a_ g, bs_a_ k, bs_a_ l, bs_a_ m, bs_a_ n, bs_a_ o,      \
                               int i) BS_CALL_(op, a, b, c, d, e, f, g, k, l, m, n, o, i)
#define BS_OP(name, need, rule, signature, arguments, formula) BS_FWD_##signature(name)
#include "handlers/ops.def"

/* The operation of a bs_activation: y = act(x), may be in place. */
void bs_activate(bs_handler *h, int activation, bs_a_ x, bs_a_ y);

/* dx = dy * act'(y), by y alone; dx may be dy. */
void bs_activate_deriv(bs_handler *h, int activation, bs_a_ y, bs_a_ dy, bs_a_ dx);
/* dx += dy * act'(y) */
void bs_activate_deriv_add(bs_handler *h, int activation, bs_a_ y, bs_a_ dy, bs_a_ dx);

/* Fails, now or when the pass ends, if there is a NaN or an infinity (see bs_device). */
void bs_expect_finite(bs_handler *h, bs_a_ a, const char *what);

#endif
