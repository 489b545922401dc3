/*
 * pipe_pingpong: two threads send one byte to and fro through two pipes with blocking read and
 * write. Prints the wall and CPU time of a round trip.
 */
#include "bench.h"

static int there[2], back[2];
static uint64_t cpu_total, rounds_total;

static void get(int fd)
{
    char c;

    if (read(fd, &c, 1) != 1)
        bench_die("read: %s", strerror(errno));
}

static void put(int fd)
{
    if (write(fd, "x", 1) != 1)
        bench_die("write: %s", strerror(errno));
}

static void *partner(void *arg)
{
    uint64_t n = *(uint64_t *)arg;

    for (uint64_t i = 0; i < n; i++) {
        get(there[0]);
        put(back[1]);
    }
    return NULL;
}

static uint64_t rounds(uint64_t n)
{
    pthread_t t;

    bench_create(&t, partner, &n);

    uint64_t cpu = bench_cpu(), start = bench_now();

    for (uint64_t i = 0; i < n; i++) {
        put(there[1]);
        get(back[0]);
    }

    uint64_t took = bench_now() - start;

    cpu_total = bench_cpu() - cpu;
    rounds_total = n;
    bench_join(t);
    return took;
}

int main(int argc, char **argv)
{
    if (pipe(there) || pipe(back))
        bench_die("pipe: %s", strerror(errno));
    bench_print("pipe_pingpong", bench_measure(rounds, bench_seconds(argc, argv, 1)), "ns");
    bench_print("pipe_pingpong_cpu", (double)cpu_total / (double)rounds_total, "ns");
    return 0;
}
