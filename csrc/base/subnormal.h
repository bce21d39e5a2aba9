/* subnormal.h - numbers too small for the processor.
 *
 * A number below the smallest normal one (1.2e-38 in float32, 2.2e-308 in float64) costs some
 * processors a hundred cycles in every operation, and training makes many: the velocity of a weight
 * whose unit has died is multiplied by 0.9 until it gets there, and then stays for ever. So the
 * engine takes them for 0, in all threads: workers always, others while they are inside. */
#ifndef BS_BASE_SUBNORMAL_H
#define BS_BASE_SUBNORMAL_H

#include <stdint.h>

/* Turns flushing to 0 on or off in this thread and returns whether it was on. */
static inline int bs_flush_subnormals(int on)
{
#if defined(__x86_64__)
    const unsigned both = 0x8040, mode = __builtin_ia32_stmxcsr(); /* of results, of operands */
    if ((mode & both) != (on ? both : 0))
        __builtin_ia32_ldmxcsr(on ? mode | both : mode & ~both);
    return (mode & both) == both;
#elif defined(__aarch64__)
    const uint64_t flush = (uint64_t)1 << 24;
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    if (!(mode & flush) != !on)
        __asm__ volatile("msr fpcr, %0" : : "r"(on ? mode | flush : mode & ~flush));
    return (mode & flush) != 0;
#else
    return on;
#endif
}

#endif
