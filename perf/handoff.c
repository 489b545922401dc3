/*
 * handoff: what a short system call costs more through the C library's function than as a bare
 * instruction, in one thread of a process with threads. Batches of both alternate; the lower quartiles
 * are compared, because whatever else the machine does only adds. raddle's price is the
 * difference to what the same line says natively, where libc's function has a price too.
 *
 * Calls that raddle announces to its monitor (getrandom, msync, ioctl, fcntl, open) pay for that here;
 * getppid, which it does not touch, shows what the program itself adds.
 */
#include "bench.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>

#define BATCH   200
#define BATCHES 400

static int fds[2];
static void *page;

static inline long bare(long nr, long a, long b, long c)
{
    long result;

#ifdef __x86_64__
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
#else
#error "another processor's system call"
#endif
    return result;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The fastest quarter's upper end: what the call costs undisturbed. */
static double typical(uint64_t *t)
{
    qsort(t, BATCHES, sizeof *t, compare);
    return (double)t[BATCHES / 4] / BATCH;
}

#define MEASURE(name, call, instruction)                                                           \
    do {                                                                                           \
        static uint64_t through[BATCHES], directly[BATCHES];                                       \
        for (int i = 0; i < BATCHES; i++) {                                                        \
            uint64_t start = bench_now();                                                          \
            for (int k = 0; k < BATCH; k++)                                                        \
                (void)!(call);                                                                     \
            uint64_t middle = bench_now();                                                         \
            for (int k = 0; k < BATCH; k++)                                                        \
                (void)(instruction);                                                               \
            directly[i] = bench_now() - middle;                                                    \
            through[i] = middle - start;                                                           \
        }                                                                                          \
        double d = typical(directly);                                                              \
        bench_print("handoff_" name "_bare", d, "ns");                                             \
        bench_print("handoff_" name "_more", typical(through) - d, "ns");                          \
    } while (0)

static void *measure(void *arg)
{
    char byte;
    int n;

    MEASURE("getppid", getppid(), bare(SYS_getppid, 0, 0, 0));
    MEASURE("getrandom", getrandom(&byte, 1, 0), bare(SYS_getrandom, (long)&byte, 1, 0));
    MEASURE("msync", msync(page, 4096, MS_ASYNC), bare(SYS_msync, (long)page, 4096, MS_ASYNC));
    MEASURE("ioctl", ioctl(fds[0], FIONREAD, &n), bare(SYS_ioctl, fds[0], FIONREAD, (long)&n));
    MEASURE("fcntl", fcntl(fds[0], F_GETFD), bare(SYS_fcntl, fds[0], F_GETFD, 0));
    MEASURE("syscall", syscall(SYS_getppid), bare(SYS_getppid, 0, 0, 0));
    MEASURE("open", close(open("/dev/null", O_RDONLY)),
            bare(SYS_close, bare(SYS_open, (long)"/dev/null", O_RDONLY, 0), 0, 0));
    return arg;
}

int main(void)
{
    pthread_t thread;

    if (pipe(fds) < 0)
        return 1;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bench_create(&thread, measure, NULL);
    bench_join(thread);
    return 0;
}
