/*
 * create_join: what one pthread_create and pthread_join of an empty body cost, one at a time, and
 * what a thread costs when 64 are created before the first is joined.
 */
#include "bench.h"

#define BATCH 64

static void *body(void *arg)
{
    return arg;
}

static uint64_t one_by_one(uint64_t n)
{
    uint64_t start = bench_now();
    pthread_t t;

    for (uint64_t i = 0; i < n; i++) {
        bench_create(&t, body, NULL);
        bench_join(t);
    }
    return bench_now() - start;
}

static uint64_t in_batches(uint64_t n)
{
    uint64_t start = bench_now();
    pthread_t t[BATCH];

    for (uint64_t done = 0; done < n; done += BATCH) {
        for (int i = 0; i < BATCH; i++)
            bench_create(&t[i], body, NULL);
        for (int i = 0; i < BATCH; i++)
            bench_join(t[i]);
    }
    /* The last batch may overshoot n: scale the time to the n that was asked for. */
    uint64_t ran = (n + BATCH - 1) / BATCH * BATCH;
    return (uint64_t)((double)(bench_now() - start) * (double)n / (double)ran);
}

int main(int argc, char **argv)
{
    double seconds = bench_seconds(argc, argv, 1);

    bench_print("create_join", bench_measure(one_by_one, seconds), "ns");
    bench_print("create_join_batch64", bench_measure(in_batches, seconds), "ns");
    return 0;
}
