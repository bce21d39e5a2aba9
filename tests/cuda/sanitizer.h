/* sanitizer.h - what AddressSanitizer has to know about stacks of our own. Without it these do
 * nothing. */
#ifndef TESTS_CUDA_SANITIZER_H
#define TESTS_CUDA_SANITIZER_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef WITH_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define WITH_ADDRESS_SANITIZER 0
#endif

typedef struct stack {
    const void *bottom;
    size_t bytes;
    void *frames; /* AddressSanitizer's own, while the stack is left */
} stack;

/* Just before and just after a jump from one stack to another. */
static inline void leave_stack(stack *from, const stack *to)
{
#if WITH_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&from->frames, to->bottom, to->bytes);
#else
    (void)from, (void)to;
#endif
}

/* `from` becomes known if it is the stack of a thread of the system. */
static inline void enter_stack(stack *to, stack *from)
{
#if WITH_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(to->frames, &from->bottom, &from->bytes);
#else
    (void)to, (void)from;
#endif
}

/* What was on a stack is given up. */
static inline void forget_stack(const stack *s)
{
#if WITH_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(s->bottom, s->bytes);
#else
    (void)s;
#endif
}

#endif
