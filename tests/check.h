/* A test program in one header, for places where there is nothing but a C compiler.
 *
 *     static void test_sum_adds(void) { CHECK(1 + 1 == 2); CHECK_NEAR(0.1 + 0.2, 0.3, 1e-12); }
 *     CHECK_MAIN(CASE(test_sum_adds))
 *
 * A failed check is printed and counted, and its case goes on. Arguments name the cases to run, none: all. Exit code: 0 all
 * passed, 1 some failed, 77 (what CTest takes for "skipped") if every case called check_skip. What is printed
 * is there line by line, so that a log also shows where a program was stopped. */
#ifndef LOOM_TESTS_CHECK_H
#define LOOM_TESTS_CHECK_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define CHECK_SKIPPED 77
#define CHECK_SHOWN 10 /* failures printed a case */

struct check_case {
    const char *name;
    void (*run)(void);
};

static struct {
    size_t checks, failures; /* of the current case */
    const char *skipped;     /* why the current case was, or NULL */
} check_state;

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance)                                                                          \
    check_near((double)(a), (double)(b), tolerance, #a " ~ " #b, __FILE__, __LINE__)
#define CASE(function)                                                                                       \
    {                                                                                                        \
#function, function                                                                                  \
    }
#define CHECK_MAIN(...)                                                                                      \
    int main(int argc, char **argv)                                                                          \
    {                                                                                                        \
        static const struct check_case cases[] = {__VA_ARGS__};                                              \
        return check_run(cases, sizeof cases / sizeof *cases, argv + 1, (size_t)argc - 1);                   \
    }

static inline bool check_that(bool passed, const char *text, const char *file, int line)
{
    check_state.checks++;
    if (!passed && check_state.failures++ < CHECK_SHOWN)
        printf("    %s:%d: not true: %s\n", file, line, text);
    return passed;
}

/* |a - b| <= tolerance; false if either is NaN. */
static inline bool check_near(double a, double b, double tolerance, const char *text, const char *file,
                              int line)
{
    bool passed = check_that(fabs(a - b) <= tolerance, text, file, line);
    if (!passed && check_state.failures <= CHECK_SHOWN)
        printf("        %.9g and %.9g differ by %.3g, allowed %.3g\n", a, b, fabs(a - b), tolerance);
    return passed;
}

/* Say that the current case cannot be run here; return from it afterwards. */
static inline void check_skip(const char *why)
{
    check_state.skipped = why;
}

/* Whether the case is to be run; names (n): those asked for. */
static inline bool check_asked(const char *name, char *const *names, size_t n)
{
    bool asked = n == 0;
    for (size_t a = 0; a < n; a++)
        asked |= strcmp(name, names[a]) == 0;
    return asked;
}

static inline int check_run(const struct check_case *cases, size_t n, char *const *names, size_t n_names)
{
    size_t ran = 0, failed = 0, skipped = 0;
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (size_t c = 0; c < n; c++) {
        if (!check_asked(cases[c].name, names, n_names))
            continue;
        ran++;
        check_state.checks = check_state.failures = 0;
        check_state.skipped = NULL;
        cases[c].run();
        if (check_state.failures > 0) {
            printf("FAILED  %s: %zu of %zu checks\n", cases[c].name, check_state.failures,
                   check_state.checks);
            failed++;
        } else if (check_state.skipped) {
            printf("skipped %s: %s\n", cases[c].name, check_state.skipped);
            skipped++;
        } else
            printf("passed  %s (%zu checks)\n", cases[c].name, check_state.checks);
    }
    printf("%zu cases: %zu passed, %zu failed, %zu skipped\n", ran, ran - failed - skipped, failed, skipped);
    if (ran < n_names)
        printf("FAILED  %zu of the cases asked for are not here\n", n_names - ran);
    return failed > 0 || ran < n_names ? 1 : skipped == ran ? CHECK_SKIPPED : 0;
}

#endif
