/*
 * idle_cpu: 200 threads, all blocked (a quarter each in read of a pipe, recv of a socket, a
 * condition variable and a long sleep). Prints the CPU time the process uses in a second of doing
 * nothing, by the scheduler's exact clock and by getrusage, and its context switches.
 *
 *     idle_cpu [seconds]
 */
#include "bench.h"
#include <sys/socket.h>

#define THREADS 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static int quiet_pipe[2], quiet_sockets[2];

static void *in_read(void *arg)
{
    char c;

    if (read(quiet_pipe[0], &c, 1) != -2)
        bench_die("a read of an empty pipe came back");
    return arg;
}

static void *in_recv(void *arg)
{
    char c;

    if (recv(quiet_sockets[0], &c, 1, 0) != -2)
        bench_die("a recv of an empty socket came back");
    return arg;
}

static void *in_cond(void *arg)
{
    pthread_mutex_lock(&lock);
    for (;;)
        pthread_cond_wait(&never, &lock);
    return arg;
}

static void *in_sleep(void *arg)
{
    sleep(3600);
    return arg;
}

/* The scheduler's own count for all kernel threads of the process, in nanoseconds. */
static uint64_t exact_cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static void *(*const bodies[])(void *) = { in_read, in_recv, in_cond, in_sleep };
    double seconds = bench_seconds(argc, argv, 3);
    pthread_t t;

    if (pipe(quiet_pipe) || socketpair(AF_UNIX, SOCK_STREAM, 0, quiet_sockets))
        bench_die("pipe or socketpair: %s", strerror(errno));
    for (int i = 0; i < THREADS; i++)
        bench_create(&t, bodies[i % 4], NULL);
    /* Let all of them block, and any helper of theirs go to sleep. */
    sleep(1);

    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);

    uint64_t cpu = bench_cpu(), exact = exact_cpu(), start = bench_now();

    usleep((useconds_t)(seconds * 1e6));
    exact = exact_cpu() - exact;
    cpu = bench_cpu() - cpu;
    getrusage(RUSAGE_SELF, &after);

    double wall = (double)(bench_now() - start) / 1e9;

    bench_print("idle_cpu", (double)exact / 1e6 / wall, "ms/s");
    bench_print("idle_cpu_rusage", (double)cpu / 1e6 / wall, "ms/s");
    bench_print("idle_switches",
                (double)(after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw) /
                    wall,
                "1/s");
    bench_print("idle_kernel_threads", (double)bench_status("Threads"), "threads");
    return 0;
}
