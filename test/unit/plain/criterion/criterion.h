/*
 * criterion.h: as much of Criterion as our unit tests use, for the builds in which the real
 * one cannot run. Criterion maps its arena at addresses that ThreadSanitizer forbids, so
 * `make tsan` (and `make asan`, to be alike) puts this directory first in the include path;
 * so does a build on a machine without Criterion.
 *
 * The same contract: each test runs in a process of its own, an assertion ends it, and
 * Test(..., .signal = S) or .exit_code = N say what end is expected. Prints TAP. A test file
 * is one translation unit and main() is here.
 */
#ifndef PLAIN_CRITERION_H
#define PLAIN_CRITERION_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A check without a message passes "" as its format. */
#pragma GCC diagnostic ignored "-Wformat-zero-length"

enum { PLAIN_SKIPPED = 77, PLAIN_FAILED = 99 };

struct plain_options {
    int first; /* so that __VA_ARGS__ always follows something */
    int signal;
    int exit_code;
    double timeout; /* seconds */
    bool disabled;
    const char *description;
    void (*init)(void);
    void (*fini)(void);
};

struct plain_test {
    const char *suite, *name;
    void (*body)(void); /* NULL for a suite, which holds options for all of its tests */
    struct plain_options options;
    struct plain_test *next;
};

static struct plain_test *plain_first, **plain_last = &plain_first;
static bool plain_expectation_failed;

#define plain_register(id, suite_, name_, body_, ...)                                              \
    static struct plain_test id = {                                                                \
        .suite = suite_, .name = name_, .body = body_, .options = { .first = 0, __VA_ARGS__ }      \
    };                                                                                             \
    __attribute__((constructor)) static void id##_register(void)                                   \
    {                                                                                              \
        *plain_last = &id;                                                                         \
        plain_last = &id.next;                                                                     \
    }

#define Test(suite_, name_, ...)                                                                   \
    static void suite_##_##name_##_body(void);                                                     \
    plain_register(suite_##_##name_##_test, #suite_, #name_, suite_##_##name_##_body,              \
                   __VA_ARGS__) static void suite_##_##name_##_body(void)

#define TestSuite(suite_, ...)                                                                     \
    plain_register(suite_##_suite, #suite_, NULL, NULL,                                            \
                   __VA_ARGS__) struct plain_test /* swallows the semicolon */

#define plain_say(text, ...)                                                                       \
    do {                                                                                           \
        fprintf(stderr, "# %s:%d: %s ", __FILE__, __LINE__, text);                                 \
        fprintf(stderr, "" __VA_ARGS__);                                                           \
        fputc('\n', stderr);                                                                       \
    } while (0)

/* _exit: the other threads of a failed test must not meet destructors. */
#define cr_assert(ok, ...)                                                                         \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            plain_say(#ok, __VA_ARGS__);                                                           \
            _exit(PLAIN_FAILED);                                                                   \
        }                                                                                          \
    } while (0)
#define cr_expect(ok, ...)                                                                         \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            plain_say(#ok, __VA_ARGS__);                                                           \
            plain_expectation_failed = true;                                                       \
        }                                                                                          \
    } while (0)

#define cr_assert_eq(a, b, ...)      cr_assert((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     cr_assert((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      cr_assert((a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     cr_assert((a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      cr_assert((a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     cr_assert((a) >= (b), __VA_ARGS__)
#define cr_assert_not(a, ...)        cr_assert(!(a), __VA_ARGS__)
#define cr_assert_null(a, ...)       cr_assert((a) == NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...)   cr_assert((a) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  cr_assert(strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) cr_assert(strcmp((a), (b)) != 0, __VA_ARGS__)
#define cr_assert_fail(...)          cr_assert(false, __VA_ARGS__)
#define cr_fatal(...)                cr_assert(false, __VA_ARGS__)

#define cr_expect_eq(a, b, ...)     cr_expect((a) == (b), __VA_ARGS__)
#define cr_expect_neq(a, b, ...)    cr_expect((a) != (b), __VA_ARGS__)
#define cr_expect_lt(a, b, ...)     cr_expect((a) < (b), __VA_ARGS__)
#define cr_expect_leq(a, b, ...)    cr_expect((a) <= (b), __VA_ARGS__)
#define cr_expect_gt(a, b, ...)     cr_expect((a) > (b), __VA_ARGS__)
#define cr_expect_geq(a, b, ...)    cr_expect((a) >= (b), __VA_ARGS__)
#define cr_expect_not(a, ...)       cr_expect(!(a), __VA_ARGS__)
#define cr_expect_null(a, ...)      cr_expect((a) == NULL, __VA_ARGS__)
#define cr_expect_not_null(a, ...)  cr_expect((a) != NULL, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) cr_expect(strcmp((a), (b)) == 0, __VA_ARGS__)

#define cr_log_info(...) plain_say("info:", __VA_ARGS__)
#define cr_log_warn(...) plain_say("warning:", __VA_ARGS__)
#define cr_skip_test(...)                                                                          \
    do {                                                                                           \
        plain_say("skipped:", __VA_ARGS__);                                                        \
        _exit(PLAIN_SKIPPED);                                                                      \
    } while (0)

static const struct plain_options *plain_suite_of(const struct plain_test *test)
{
    static const struct plain_options none;

    for (const struct plain_test *s = plain_first; s; s = s->next)
        if (!s->body && strcmp(s->suite, test->suite) == 0)
            return &s->options;
    return &none;
}

/* In the child. exit, not _exit: a sanitizer reports at exit. */
static void plain_run(const struct plain_test *test, const struct plain_options *suite)
{
    double timeout = test->options.timeout > 0 ? test->options.timeout
                     : suite->timeout > 0      ? suite->timeout
                                               : 60;

    alarm((unsigned)timeout + 1);
    if (suite->init)
        suite->init();
    if (test->options.init)
        test->options.init();
    test->body();
    if (test->options.fini)
        test->options.fini();
    if (suite->fini)
        suite->fini();
    exit(plain_expectation_failed ? PLAIN_FAILED : 0);
}

int main(void)
{
    int number = 0, failures = 0;

    for (struct plain_test *t = plain_first; t; t = t->next)
        number += t->body != NULL;
    printf("1..%d\n", number);
    number = 0;
    for (struct plain_test *t = plain_first; t; t = t->next) {
        const struct plain_options *suite = plain_suite_of(t);
        bool skipped, ok;
        int status = 0;
        pid_t pid;

        if (!t->body)
            continue;
        number++;
        if (t->options.disabled || suite->disabled) {
            printf("ok %d - %s::%s # SKIP disabled\n", number, t->suite, t->name);
            continue;
        }
        fflush(NULL);
        if ((pid = fork()) == 0)
            plain_run(t, suite);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            abort();
        skipped = WIFEXITED(status) && WEXITSTATUS(status) == PLAIN_SKIPPED;
        ok = t->options.signal ? WIFSIGNALED(status) && WTERMSIG(status) == t->options.signal
                               : WIFEXITED(status) && WEXITSTATUS(status) == t->options.exit_code;
        failures += !ok && !skipped;
        printf("%sok %d - %s::%s%s", ok || skipped ? "" : "not ", number, t->suite, t->name,
               skipped ? " # SKIP" : "");
        if (!ok && !skipped)
            printf(" (%s %d)", WIFSIGNALED(status) ? "signal" : "exit status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        putchar('\n');
    }
    return failures != 0;
}

#endif
