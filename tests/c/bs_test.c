/* bs_test.c - runs the tests of tests.def, each in turn, and says "ok NAME" or "FAIL NAME". */
#include "bs_test.h"

#include <stdio.h>

#define TEST(name) BS_TEST(name);
#include "tests.def"

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#define TEST(name) {#name, name},
#include "tests.def"
};

enum { N_TESTS = sizeof tests / sizeof tests[0] };

static int failures; /* of the running test */

void bs_test_check(int good, const char *what, const char *file, int line)
{
    if (good)
        return;
    failures++;
    printf("%s:%d: %s\n", file, line, what);
}

void bs_test_check_text(const char *text, const char *expected, const char *file, int line)
{
    if (strcmp(text, expected) == 0)
        return;
    failures++;
    printf("%s:%d: got '%s', expected '%s'\n", file, line, text, expected);
}

static int run(int i)
{
    failures = 0;
    tests[i].run();
    printf("%s %s\n", failures ? "FAIL" : "ok", tests[i].name);
    return failures != 0;
}

static int find(const char *name)
{
    for (int i = 0; i < N_TESTS; i++)
        if (strcmp(tests[i].name, name) == 0)
            return i;
    return -1;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (int i = 0; i < N_TESTS; i++)
            puts(tests[i].name);
        return 0;
    }
    for (int i = 0; argc == 1 && i < N_TESTS; i++)
        failed += run(i);
    for (int a = 1; a < argc; a++) {
        const int i = find(argv[a]);
        if (i < 0)
            printf("FAIL %s: there is no such test\n", argv[a]);
        failed += i < 0 ? 1 : run(i);
    }
    return failed != 0;
}
