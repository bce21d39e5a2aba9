/* calls.c - what all functions of the double have in common: one thread at a time, failures that
 * tests ask for, and reasons. */
#include "double.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls, objects, calls_until_failure; /* the last: 0 for never */
static int failure;
static struct {
    int refused, failed; /* codes of the call that is running */
} now;
static struct {
    int code;
    char text[512];
} last;

int report(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    last.code = code;
    vsnprintf(last.text, sizeof last.text, format, arguments);
    va_end(arguments);
    return code;
}

void count_object(int difference)
{
    objects += difference;
}

static int refusal(int need)
{
    if (need >= INIT && !is_initialised())
        return report(NOT_INITIALIZED, "cuInit comes first");
    if (need >= CONTEXT && !has_context())
        return report(INVALID_CONTEXT, "this thread has no context");
    return 0;
}

int call_begin(int need, int releases)
{
    pthread_mutex_lock(&lock);
    calls++;
    now.failed = 0;
    if (calls_until_failure > 0 && --calls_until_failure == 0)
        now.failed = report(failure, "a test wants call %ld to fail", calls);
    now.refused = refusal(need);
    return !now.refused && (releases || !now.failed);
}

int call_end(int code)
{
    const int result = now.refused ? now.refused : now.failed ? now.failed : code;
    pthread_mutex_unlock(&lock);
    return result;
}

static const char *usual_text(int code)
{
    switch (code) {
    case 0: return "no error";
    case INVALID_VALUE: return "invalid argument";
    case OUT_OF_MEMORY: return "out of memory";
    case NOT_FOUND: return "named symbol not found";
    case ILLEGAL_ADDRESS: return "an illegal memory access was encountered";
    default: return "unspecified launch failure";
    }
}

CUresult cuGetErrorString(CUresult code, const char **text)
{
    static _Thread_local char copy[sizeof last.text];
    pthread_mutex_lock(&lock);
    snprintf(copy, sizeof copy, "%s", code == last.code ? last.text : usual_text(code));
    pthread_mutex_unlock(&lock);
    *text = copy;
    return 0;
}

/* ---- for tests ---- */

void double_fail_at(long n, int code)
{
    pthread_mutex_lock(&lock);
    calls_until_failure = n;
    failure = code;
    pthread_mutex_unlock(&lock);
}

long double_calls(void)
{
    return calls;
}

long double_live_objects(void)
{
    return objects;
}

const char *double_report(void)
{
    return last.text;
}
