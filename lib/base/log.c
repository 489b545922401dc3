/*
 * log.c: formats a line into a buffer on the stack and writes it in one system call.
 *
 * Always true: no allocation, no lock, no errno, no libc. A line is one write(2), so the
 * lines of several threads do not mix unless the kernel splits the write, and a lost line
 * is lost: a program's stderr may be closed, full, or somebody else's socket, and none of
 * that may stop the runtime.
 *
 * Called by every room, on any stack: a fiber's, a scheduler's, a signal handler's. The
 * 512-byte buffer is the whole need.
 */
#include "base/log.h"

#include <stdbool.h>

#include "base/option.h"

long (*log_write)(int fd, const void *buf, unsigned long n);
void (*log_exit)(int status);

static const char prefix[] = "raddle: ";

struct out {
    char *buf;
    size_t cap; /* without the terminating 0 */
    size_t len;
};

static void put(struct out *o, char c)
{
    if (o->len < o->cap)
        o->buf[o->len++] = c;
}

static void put_string(struct out *o, const char *s)
{
    for (s = s ? s : "(null)"; *s; s++)
        put(o, *s);
}

static void put_unsigned(struct out *o, unsigned long long v, unsigned base)
{
    char digits[20]; /* 2^64 in decimal */
    int n = 0;

    do
        digits[n++] = "0123456789abcdef"[v % base];
    while ((v /= base) != 0);
    while (n > 0)
        put(o, digits[--n]);
}

static void put_signed(struct out *o, long long v)
{
    if (v < 0)
        put(o, '-');
    /* Negating as unsigned is right for LLONG_MIN too. */
    put_unsigned(o, v < 0 ? -(unsigned long long)v : (unsigned long long)v, 10);
}

size_t log_vformat(char *buf, size_t cap, const char *fmt, va_list args)
{
    struct out o = { buf, cap ? cap - 1 : 0, 0 };

    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }

        const char *spec = fmt++;
        bool wide = false; /* long, long long and size_t are all 64 bits where we run */

        while (*fmt == 'l' || *fmt == 'z') {
            wide = true;
            fmt++;
        }
        switch (*fmt) {
        case 's':
            put_string(&o, va_arg(args, const char *));
            break;
        case 'c':
            put(&o, (char)va_arg(args, int));
            break;
        case 'd':
        case 'i':
            put_signed(&o, wide ? va_arg(args, long) : va_arg(args, int));
            break;
        case 'u':
        case 'x':
            put_unsigned(&o, wide ? va_arg(args, unsigned long) : va_arg(args, unsigned),
                         *fmt == 'x' ? 16 : 10);
            break;
        case 'p':
            put_string(&o, "0x");
            put_unsigned(&o, (unsigned long)va_arg(args, void *), 16);
            break;
        case '%':
            put(&o, '%');
            break;
        default:
            /* Show it, so that the mistake is seen; and do not run over the end. */
            for (; spec < fmt; spec++)
                put(&o, *spec);
            if (*fmt)
                put(&o, *fmt);
            else
                fmt--;
            break;
        }
    }
    if (cap)
        buf[o.len] = 0;
    return o.len;
}

size_t log_format(char *buf, size_t cap, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    size_t len = log_vformat(buf, cap, fmt, args);
    va_end(args);
    return len;
}

static void write_line(const char *fmt, va_list args)
{
    char line[LOG_LINE_MAX];
    size_t len = 0;

    if (!log_write)
        return;
    for (; prefix[len]; len++)
        line[len] = prefix[len];
    /* One byte short of the end: the terminating 0 of a full line becomes the newline. */
    len += log_vformat(line + len, sizeof line - len, fmt, args);
    line[len++] = '\n';
    (void)log_write(2, line, len);
}

void log_line(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line(fmt, args);
    va_end(args);
}

void log_text(const char *text)
{
    log_line("%s", text);
}

void log_unsupported(const char *fmt, ...)
{
    va_list args;

    if (options.quiet && !options.strict)
        return;
    va_start(args, fmt);
    write_line(fmt, args);
    va_end(args);
    if (options.strict && log_exit)
        log_exit(LOG_STRICT_STATUS);
}

void panic(const char *what)
{
    log_line("internal error: %s", what);
    __builtin_trap();
}
