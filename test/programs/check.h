/*
 * What the programs of this directory share: checks that end the program with exit code 1 and
 * one line on stderr, a skip that ends it with 77, and a few shorthands for threads and time.
 *
 * Include it first: it asks for the GNU interfaces.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* _exit, because a failing check may run in any thread and must not wait for the others. */
__attribute__((noreturn)) static inline void
check_failed(const char *file, int line, const char *what, long long got, const char *error)
{
    dprintf(2, "%s:%d: failed: %s (%lld%s%s)\n", file, line, what, got, error ? ", " : "",
            error ? error : "");
    _exit(1);
}

static inline long long check_equal(long long a, long long b, const char *what, const char *file,
                                    int line)
{
    if (a != b) {
        check_failed(file, line, what, a, NULL);
    }
    return a;
}

static inline long long check_sys(long long result, const char *what, const char *file, int line)
{
    if (result < 0) {
        check_failed(file, line, what, result, strerror(errno));
    }
    return result;
}

static inline void check_zero(int error, const char *what, const char *file, int line)
{
    if (error != 0) {
        check_failed(file, line, what, error, strerror(error));
    }
}

/* The condition holds. */
#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, 0, NULL))
/* Two integers are equal; the left one is printed when they are not. */
#define CHECK_EQ(a, b) check_equal((long long)(a), (long long)(b), #a " == " #b, __FILE__, __LINE__)
/* A call in the style of pthreads, which returns an error number, returns 0. */
#define OK(call) check_zero((call), #call, __FILE__, __LINE__)
/* A call in the style of system calls succeeds; its value is passed on. */
#define SYS(call) check_sys((call), #call, __FILE__, __LINE__)
/* A call in the style of system calls fails with this errno. */
#define FAILS(call, error)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        CHECK_EQ((call), -1);                                                                      \
        CHECK_EQ(errno, (error));                                                                  \
    } while (0)

#define SKIP(why)                                                                                  \
    do {                                                                                           \
        dprintf(2, "skipped: %s\n", why);                                                          \
        _exit(77);                                                                                 \
    } while (0)

/* Nothing here takes more than a few seconds; a program that hangs dies of SIGALRM. A forked
 * child does not inherit the alarm and calls this again. */
static inline void watchdog(void)
{
    alarm(60);
}

static inline pthread_t start(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    OK(pthread_create(&thread, NULL, body, argument));
    return thread;
}

static inline void *finish(pthread_t thread)
{
    void *value;

    OK(pthread_join(thread, &value));
    return value;
}

/* As many threads as that, the number of each its argument, from their start to their end. */
static inline void run_threads(long count, void *(*body)(void *))
{
    pthread_t *threads = (pthread_t *)calloc((size_t)count, sizeof *threads);

    CHECK(threads != NULL);
    for (long i = 0; i < count; i++) {
        threads[i] = start(body, (void *)i);
    }
    for (long i = 0; i < count; i++) {
        finish(threads[i]);
    }
    free(threads);
}

static inline void nap(long milliseconds)
{
    struct timespec t = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

    while (nanosleep(&t, &t) < 0 && errno == EINTR) {
    }
}

static inline struct timespec from_now(clockid_t clock, long milliseconds)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_sec += milliseconds / 1000;
    t.tv_nsec += milliseconds % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Whether the clock has reached t. A wait that timed out may not be early. */
static inline int reached(clockid_t clock, struct timespec t)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec > t.tv_sec || (now.tv_sec == t.tv_sec && now.tv_nsec >= t.tv_nsec);
}

/* Waits for a child and returns its wait status. */
static inline int reap(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0) {
        CHECK_EQ(errno, EINTR);
    }
    return status;
}

/* For children that are meant to die of a signal. */
static inline void no_core(void)
{
    struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
}

/* Reads or writes exactly size bytes, in as many calls as it takes. */
static inline void read_all(int fd, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = SYS(read(fd, (char *)data + done, size - done));

        CHECK(n > 0);
        done += (size_t)n;
    }
}

static inline void write_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        done += (size_t)SYS(write(fd, (const char *)data + done, size - done));
    }
}

#endif
