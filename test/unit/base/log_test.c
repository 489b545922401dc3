/* log.c: what the tiny formatter prints, and that a line is one write and always ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"

static char written[2 * LOG_LINE_MAX];
static int writes;
static int last_fd;

static long capture(int fd, const void *buf, unsigned long n)
{
    memcpy(written, buf, n);
    written[n] = 0;
    writes++;
    last_fd = fd;
    return (long)n;
}

static void capture_lines(void)
{
    log_write = capture;
}

TestSuite(log, .init = capture_lines);

#define formats(expected, ...)                                                                     \
    do {                                                                                           \
        char buf[128];                                                                             \
        size_t n = log_format(buf, sizeof buf, __VA_ARGS__);                                       \
        cr_assert_str_eq(buf, expected);                                                           \
        cr_assert_eq(n, strlen(expected));                                                         \
    } while (0)

Test(log, conversions)
{
    formats("plain", "plain");
    formats("abc|x|%", "%s|%c|%%", "abc", 'x');
    formats("0 -1 7", "%d %d %i", 0, -1, 7);
    formats("-2147483648 4294967295", "%d %u", INT_MIN, UINT_MAX);
    formats("-9223372036854775808 18446744073709551615", "%ld %lu", LONG_MIN, ULONG_MAX);
    formats("12 34 ff", "%zu %llu %zx", (size_t)12, 34ull, (size_t)255);
    formats("0 deadbeef ffffffffffffffff", "%x %x %lx", 0u, 0xdeadbeefu, ULONG_MAX);
    formats("0x0 0x1234", "%p %p", NULL, (void *)0x1234);
}

/* Mistakes the compiler would refuse in a literal. */
static const char *volatile unknown = "a%q%lb", *volatile unfinished = "50%", *volatile null;

Test(log, mistakes_are_shown_and_harmless)
{
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    formats("(null)", "%s", null);
    formats("a%q%lb", unknown);
    formats("50%", unfinished);
}

Test(log, a_small_buffer_cuts_and_terminates)
{
    char buf[4] = "...";

    cr_assert_eq(log_format(buf, sizeof buf, "%s", "abcdef"), 3);
    cr_assert_str_eq(buf, "abc");
    cr_assert_eq(log_format(buf, 1, "%d", 12), 0);
    cr_assert_str_eq(buf, "");
    cr_assert_eq(log_format(NULL, 0, "%d", 12), 0);
}

Test(log, a_line_is_one_write_to_stderr)
{
    log_line("%s: %d", "answer", 42);
    cr_assert_str_eq(written, "raddle: answer: 42\n");
    cr_assert_eq(writes, 1);
    cr_assert_eq(last_fd, 2);
}

Test(log, text_is_not_a_format)
{
    log_text("100%s %d");
    cr_assert_str_eq(written, "raddle: 100%s %d\n");
}

Test(log, a_long_line_is_cut_but_ends)
{
    char text[4 * LOG_LINE_MAX];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    log_line("%s", text);
    cr_assert_eq(strlen(written), LOG_LINE_MAX);
    cr_assert_eq(written[LOG_LINE_MAX - 1], '\n');
    cr_assert_eq(writes, 1);
}

Test(log, without_a_way_out_lines_are_dropped)
{
    log_write = NULL;
    log_line("nobody hears this");
    cr_assert_eq(writes, 0);
}

static long full(int fd, const void *buf, unsigned long n)
{
    (void)fd, (void)buf, (void)n;
    writes++;
    return -EAGAIN;
}

Test(log, a_failing_write_is_not_repeated_and_errno_stays)
{
    log_write = full;
    errno = ERANGE;
    log_line("lost");
    cr_assert_eq(writes, 1);
    cr_assert_eq(errno, ERANGE);
}

/* Dies of SIGILL; what it wrote before is checked here. */
static long expect_panic(int fd, const void *buf, unsigned long n)
{
    static const char line[] = "raddle: internal error: queue is broken\n";

    if (fd != 2 || n != sizeof line - 1 || memcmp(buf, line, n) != 0)
        raise(SIGKILL);
    return (long)n;
}

Test(log, panic_says_what_and_traps, .signal = SIGILL)
{
    log_write = expect_panic;
    panic("queue is broken");
}
