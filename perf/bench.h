/*
 * What the measuring programs share: a clock, a loop that finds out how many operations fill the
 * measuring time, /proc readings, and one way to print a figure.
 *
 * The programs know nothing of raddle: they are ordinary pthread programs, built once, and run.py
 * starts the same binary with and without the preloaded library. Each prints lines of the form
 * "name value unit" on standard output and nothing else.
 */
#ifndef PERF_BENCH_H
#define PERF_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BENCH_CHUNKS 5

static inline uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of the whole process in nanoseconds, user and system together. */
static inline uint64_t bench_cpu(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000u +
           ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000u;
}

__attribute__((format(printf, 1, 2), noreturn)) static inline void bench_die(const char *format,
                                                                             ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

/* Pthread functions answer with an error number; anything but 0 ends the measurement. */
static inline void bench_check(int error, const char *what)
{
    if (error)
        bench_die("%s: %s", what, strerror(error));
}

static inline void bench_create(pthread_t *thread, void *(*start)(void *), void *arg)
{
    bench_check(pthread_create(thread, NULL, start, arg), "pthread_create");
}

static inline void bench_join(pthread_t thread)
{
    bench_check(pthread_join(thread, NULL), "pthread_join");
}

static inline void bench_print(const char *name, double value, const char *unit)
{
    printf("%s %.1f %s\n", name, value, unit);
    fflush(stdout);
}

/* First argument: how long to measure, in seconds. */
static inline double bench_seconds(int argc, char **argv, double fallback)
{
    double s = argc > 1 ? atof(argv[1]) : fallback;

    if (s <= 0 || s > 600)
        bench_die("usage: %s [seconds]", argv[0]);
    return s;
}

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/*
 * run(n) does n operations and answers the nanoseconds they took. The same program may be a few
 * hundred times faster under the library, so a fixed count would be too short for the one or too
 * long for the other: n grows until a chunk fills its share of the time (which is the warm-up as
 * well); the answer is the median of BENCH_CHUNKS chunks, in nanoseconds per operation.
 */
static inline double bench_measure(uint64_t (*run)(uint64_t n), double seconds)
{
    double chunk = seconds * 1e9 / BENCH_CHUNKS, result[BENCH_CHUNKS];
    uint64_t n = 100, t = run(n);

    while ((double)t < chunk * 0.7) {
        double factor = chunk / (double)(t ? t : 1);

        n = (uint64_t)((double)n * (factor > 8 ? 8 : factor < 1.2 ? 1.2 : factor));
        t = run(n);
    }
    for (int i = 0; i < BENCH_CHUNKS; i++)
        result[i] = (double)run(n) / (double)n;
    qsort(result, BENCH_CHUNKS, sizeof result[0], bench_by_value);
    return result[BENCH_CHUNKS / 2];
}

/*
 * The number after "name:" in a /proc file of that form (status, meminfo), or -1 when the file or
 * the line is missing. Values the kernel gives in kB stay in kB.
 */
static inline long bench_proc_field(const char *path, const char *name)
{
    char line[256];
    size_t n = strlen(name);
    long value = -1;
    FILE *f = fopen(path, "re");

    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, name, n) && line[n] == ':') {
            value = atol(line + n + 1);
            break;
        }
    }
    fclose(f);
    return value;
}

static inline long bench_status(const char *name)
{
    return bench_proc_field("/proc/self/status", name);
}

static inline long bench_mem_available(void)
{
    return bench_proc_field("/proc/meminfo", "MemAvailable");
}

/* Takes as many descriptors as the hard limit allows. */
static inline void bench_raise_nofile(void)
{
    struct rlimit r;

    if (!getrlimit(RLIMIT_NOFILE, &r)) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

#endif
