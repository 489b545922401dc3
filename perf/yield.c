/*
 * yield: eight threads do nothing but sched_yield. Prints the wall time of the run divided by all
 * yields, and the CPU time of one yield.
 */
#include "bench.h"
#include <sched.h>

#define THREADS 8

static pthread_barrier_t begin;
static uint64_t cpu_total, yields_total;

static void *yielder(void *arg)
{
    uint64_t n = *(uint64_t *)arg;

    pthread_barrier_wait(&begin);
    for (uint64_t i = 0; i < n; i++)
        sched_yield();
    return NULL;
}

static uint64_t yields(uint64_t n)
{
    uint64_t each = n / THREADS + 1;
    pthread_t t[THREADS];

    bench_check(pthread_barrier_init(&begin, NULL, THREADS + 1), "pthread_barrier_init");
    for (int i = 0; i < THREADS; i++)
        bench_create(&t[i], yielder, &each);

    uint64_t cpu = bench_cpu(), start = bench_now();

    pthread_barrier_wait(&begin);
    for (int i = 0; i < THREADS; i++)
        bench_join(t[i]);

    uint64_t took = bench_now() - start;

    cpu_total = bench_cpu() - cpu;
    yields_total = each * THREADS;
    pthread_barrier_destroy(&begin);
    return (uint64_t)((double)took * (double)n / (double)yields_total);
}

int main(int argc, char **argv)
{
    bench_print("yield", bench_measure(yields, bench_seconds(argc, argv, 1)), "ns");
    bench_print("yield_cpu", (double)cpu_total / (double)yields_total, "ns");
    return 0;
}
