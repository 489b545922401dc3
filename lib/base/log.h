/*
 * log.h: one line to stderr, from anywhere.
 *
 * Nothing here allocates, takes a lock, touches errno or calls libc, so all of it may be
 * used in a signal handler, on a scheduler stack, and before the constructor has run.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stddef.h>

/* A longer line is cut; the newline always fits. */
#define LOG_LINE_MAX 512

/*
 * How a line leaves the process. base knows no system call, so the shim sets this at start
 * to a raw write(2) that returns the bytes written or -errno. NULL, as at first: drop.
 */
extern long (*log_write)(int fd, const void *buf, unsigned long n);

/*
 * Format like snprintf: at most cap bytes including the terminating 0, returning the length
 * stored (not the length wanted). Knows %s %c %d %i %u %x %p %%, with l, ll or z before an
 * integer; no width, no precision. A NULL string prints as (null), an unknown conversion as
 * itself.
 */
__attribute__((format(printf, 3, 4))) size_t log_format(char *buf, size_t cap, const char *fmt,
                                                        ...);
size_t log_vformat(char *buf, size_t cap, const char *fmt, va_list args);

/* "raddle: " + the formatted text + newline, in one write to descriptor 2. */
__attribute__((format(printf, 1, 2))) void log_line(const char *fmt, ...);

/* The same for a finished text; fits where option_parse() wants its complain function. */
void log_text(const char *text);

/*
 * Something is not supported: the line says what, why, and what happens instead. One line, unless
 * RADDLE_QUIET asks for none; with RADDLE_STRICT the line comes in any case and the process ends with
 * LOG_STRICT_STATUS, through log_exit, which the shim sets like log_write.
 */
enum { LOG_STRICT_STATUS = 125 };
extern void (*log_exit)(int status);
__attribute__((format(printf, 1, 2))) void log_unsupported(const char *fmt, ...);

/*
 * An invariant of ours is broken: say so and die on the spot, with the state still there
 * for a core dump. what must be a constant string.
 */
__attribute__((noreturn, cold)) void panic(const char *what);

#endif
