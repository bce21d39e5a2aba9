/* streams.c - streams and events. Work waits until somebody waits for it, so that whoever looks too
 * early finds nothing done. Streams beside the default one may also hurry (double_hurry), so that
 * they overtake whom they should have waited for.
 *
 * Streams that are not BS_CU_NON_BLOCKING are one with the default stream: a GPU lets them wait for
 * each other. */
#include "double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A point in the work of a stream that an event has recorded. */
typedef struct mark {
    int references, is_done;
    CUstream stream;
} mark;

typedef struct step {
    struct step *next;
    enum { WORK, RECORD, WAIT } kind;
    mark *mark; /* that is recorded or waited for */
    task work;
} step;

struct CUstream_st {
    CUstream next;
    CUstream queue; /* whose steps it has: its own or those of the default stream */
    step *first, *last;
    int failure; /* the first one that nobody has been told */
};

struct CUevent_st {
    CUevent next;
    mark *mark; /* NULL before the first record */
};

static struct CUstream_st the_default = {.queue = &the_default};
static CUstream streams;
static CUevent events;
static int is_in_a_hurry;
static long tasks, tasks_done;
static char forgotten[32];

/* ---- marks ---- */

static mark *hold(mark *m)
{
    m->references++;
    return m;
}

static void let_go(mark *m)
{
    if (m && --m->references == 0)
        free(m);
}

/* ---- running ---- */

static void run_until(CUstream s, const mark *m);

static int is_blocked(const step *head)
{
    return head->kind == WAIT && !head->mark->is_done;
}

static void run_first(CUstream s)
{
    step *head = s->first;
    int code = 0;
    if (is_blocked(head))
        run_until(head->mark->stream, head->mark);
    s->first = head->next;
    if (!s->first)
        s->last = NULL;
    if (head->kind == RECORD)
        head->mark->is_done = 1;
    tasks_done += head->kind == WORK;
    if (head->kind == WORK)
        code = is_still_there(&head->work) ? head->work.run(&head->work) : ILLEGAL_ADDRESS;
    if (!s->failure)
        s->failure = code;
    let_go(head->mark);
    free(head);
}

/* All, if there is no mark. */
static void run_until(CUstream s, const mark *m)
{
    while (s->first && !(m && m->is_done))
        run_first(s);
}

static int failure_of(CUstream s)
{
    const int code = s->failure;
    s->failure = 0;
    return code;
}

void run_everything(void)
{
    run_until(&the_default, NULL);
    for (CUstream s = streams; s; s = s->next)
        run_until(s, NULL);
}

static void append(CUstream s, int kind, mark *m, const task *work)
{
    step *new = calloc(1, sizeof *new);
    new->kind = kind;
    new->mark = m ? hold(m) : NULL;
    if (work)
        new->work = *work;
    *(s->first ? &s->last->next : &s->first) = new;
    s->last = new;
    while (is_in_a_hurry && s != &the_default && s->first && !is_blocked(s->first))
        run_first(s);
}

/* ---- streams ---- */

/* The link that leads to a stream, to NULL if it does not exist. */
static CUstream *link_to(CUstream stream)
{
    CUstream *link = &streams;
    while (*link && *link != stream)
        link = &(*link)->next;
    return link;
}

/* NULL after a report. */
static CUstream queue_of(CUstream stream)
{
    if (!stream)
        return &the_default;
    if (*link_to(stream))
        return stream->queue;
    report(INVALID_HANDLE, "this is no stream");
    return NULL;
}

int submit(CUstream stream, const task *work)
{
    CUstream s = queue_of(stream);
    if (!s)
        return INVALID_HANDLE;
    if (capture_task(stream, work))
        return 0;
    tasks++;
    append(s, WORK, NULL, work);
    return 0;
}

int finish(CUstream stream)
{
    CUstream s = queue_of(stream);
    if (is_capturing())
        return report(CAPTURING, "waiting while a stream captures");
    if (!s)
        return INVALID_HANDLE;
    run_until(s, NULL);
    return failure_of(s);
}

static int finish_all(void)
{
    int code;
    run_everything();
    code = failure_of(&the_default);
    for (CUstream s = streams; s; s = s->next) {
        const int other = failure_of(s);
        code = code ? code : other;
    }
    return code;
}

static int create_stream(CUstream *out, unsigned flags)
{
    CUstream stream = calloc(1, sizeof *stream);
    stream->queue = flags == BS_CU_NON_BLOCKING ? stream : &the_default;
    stream->next = streams;
    *out = streams = stream;
    count_object(1);
    return 0;
}

static int destroy_stream(CUstream stream)
{
    CUstream *link = link_to(stream);
    if (!*link)
        return report(INVALID_HANDLE, "this is no stream");
    run_until(stream, NULL);
    *link = stream->next;
    free(stream);
    count_object(-1);
    return 0;
}

/* ---- events ---- */

static int is_forgotten(const char *name)
{
    return strcmp(name, forgotten) == 0;
}

static CUevent *link_to_event(CUevent event)
{
    CUevent *link = &events;
    while (*link && *link != event)
        link = &(*link)->next;
    return link;
}

static int is_event(CUevent event)
{
    if (event && *link_to_event(event))
        return 1;
    report(INVALID_HANDLE, "this is no event");
    return 0;
}

static int create_event(CUevent *out)
{
    CUevent event = calloc(1, sizeof *event);
    event->next = events;
    *out = events = event;
    count_object(1);
    return 0;
}

static int destroy_event(CUevent event)
{
    if (!is_event(event))
        return INVALID_HANDLE;
    *link_to_event(event) = event->next;
    let_go(event->mark);
    free(event);
    count_object(-1);
    return 0;
}

static int record(CUevent event, CUstream stream)
{
    CUstream s = queue_of(stream);
    mark *m;
    if (!s || !is_event(event))
        return INVALID_HANDLE;
    m = calloc(1, sizeof *m);
    m->stream = s;
    let_go(event->mark);
    event->mark = hold(m);
    append(s, RECORD, m, NULL);
    return 0;
}

/* An event that was never recorded is over. */
static int wait(CUstream stream, CUevent event)
{
    CUstream s = queue_of(stream);
    if (!s || !is_event(event))
        return INVALID_HANDLE;
    if (event->mark && !is_forgotten("cuStreamWaitEvent"))
        append(s, WAIT, event->mark, NULL);
    return 0;
}

static int finish_event(CUevent event)
{
    if (!is_event(event))
        return INVALID_HANDLE;
    if (!event->mark || is_forgotten("cuEventSynchronize"))
        return 0;
    run_until(event->mark->stream, event->mark);
    return failure_of(event->mark->stream);
}

/* ---- the functions ---- */

CUresult cuStreamCreate(CUstream *out, unsigned int flags)
{
    CALL(CONTEXT, create_stream(out, flags));
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    RELEASE(CONTEXT, destroy_stream(stream));
}

CUresult cuStreamSynchronize(CUstream stream)
{
    RELEASE(CONTEXT, finish(stream));
}

CUresult cuCtxSynchronize(void)
{
    RELEASE(CONTEXT, finish_all());
}

CUresult cuEventCreate(CUevent *out, unsigned int flags)
{
    (void)flags;
    CALL(CONTEXT, create_event(out));
}

CUresult cuEventDestroy_v2(CUevent event)
{
    RELEASE(CONTEXT, destroy_event(event));
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    CALL(CONTEXT, record(event, stream));
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags)
{
    (void)flags;
    CALL(CONTEXT, wait(stream, event));
}

CUresult cuEventSynchronize(CUevent event)
{
    RELEASE(CONTEXT, finish_event(event));
}

/* ---- for tests ---- */

void double_hurry(int yes)
{
    is_in_a_hurry = yes;
}

void double_forget(const char *name)
{
    snprintf(forgotten, sizeof forgotten, "%s", name ? name : "");
}

long double_tasks(void)
{
    return tasks;
}

long double_tasks_done(void)
{
    return tasks_done;
}
