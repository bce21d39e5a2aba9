/* bs_test.h - a tiny harness. A test is a function without arguments that uses the checks below;
 * bs_test.c lists them all. `bs_tests` runs all tests, or those named on the command line;
 * `bs_tests --list` names them. */
#ifndef BS_TEST_H
#define BS_TEST_H

#include <math.h>
#include <string.h>

#include "brainstorm.h"

#define BS_TEST(name) void name(void)

/* Notes a failure with its place if the condition does not hold; the test goes on. */
#define CHECK(cond)                bs_test_check((cond) ? 1 : 0, #cond, __FILE__, __LINE__)
#define CHECK_TEXT(text, expected) bs_test_check_text((text), (expected), __FILE__, __LINE__)

void bs_test_check(int good, const char *what, const char *file, int line);
void bs_test_check_text(const char *text, const char *expected, const char *file, int line);

#endif
