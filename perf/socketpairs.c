/*
 * socketpairs: 200 pairs of threads, each pair ping-ponging one byte over its own socketpair, all
 * at once. Prints the wall and CPU time of the run divided by all round trips.
 */
#include "bench.h"
#include <sys/socket.h>

#define PAIRS 200

static pthread_barrier_t begin;
static int ends[PAIRS][2];
static uint64_t rounds_each, cpu_total, rounds_total;

static void get(int fd)
{
    char c;

    if (recv(fd, &c, 1, 0) != 1)
        bench_die("recv: %s", strerror(errno));
}

static void put(int fd)
{
    if (send(fd, "x", 1, 0) != 1)
        bench_die("send: %s", strerror(errno));
}

static void *server(void *arg)
{
    int fd = ((int *)arg)[1];

    pthread_barrier_wait(&begin);
    for (uint64_t i = 0; i < rounds_each; i++) {
        put(fd);
        get(fd);
    }
    return NULL;
}

static void *client(void *arg)
{
    int fd = ((int *)arg)[0];

    pthread_barrier_wait(&begin);
    for (uint64_t i = 0; i < rounds_each; i++) {
        get(fd);
        put(fd);
    }
    return NULL;
}

static uint64_t rounds(uint64_t n)
{
    pthread_t t[PAIRS][2];

    rounds_each = n / PAIRS + 1;
    bench_check(pthread_barrier_init(&begin, NULL, 2 * PAIRS + 1), "pthread_barrier_init");
    for (int i = 0; i < PAIRS; i++) {
        bench_create(&t[i][0], client, ends[i]);
        bench_create(&t[i][1], server, ends[i]);
    }

    uint64_t cpu = bench_cpu(), start = bench_now();

    pthread_barrier_wait(&begin);
    for (int i = 0; i < PAIRS; i++) {
        bench_join(t[i][0]);
        bench_join(t[i][1]);
    }

    uint64_t took = bench_now() - start;

    cpu_total = bench_cpu() - cpu;
    rounds_total = rounds_each * PAIRS;
    pthread_barrier_destroy(&begin);
    return (uint64_t)((double)took * (double)n / (double)rounds_total);
}

int main(int argc, char **argv)
{
    for (int i = 0; i < PAIRS; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]))
            bench_die("socketpair: %s", strerror(errno));
    }
    bench_print("socketpairs200", bench_measure(rounds, bench_seconds(argc, argv, 1)), "ns");
    bench_print("socketpairs200_cpu", (double)cpu_total / (double)rounds_total, "ns");
    return 0;
}
