/*
 * cond_pingpong: two threads pass a turn to and fro with one mutex and a condition variable each.
 * One round trip is two signals and two waits.
 */
#include "bench.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ours = PTHREAD_COND_INITIALIZER, theirs = PTHREAD_COND_INITIALIZER;
static bool their_turn;

static void *partner(void *arg)
{
    uint64_t n = *(uint64_t *)arg;

    pthread_mutex_lock(&lock);
    for (uint64_t i = 0; i < n; i++) {
        while (!their_turn)
            pthread_cond_wait(&theirs, &lock);
        their_turn = false;
        pthread_cond_signal(&ours);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static uint64_t rounds(uint64_t n)
{
    pthread_t t;

    their_turn = false;
    bench_create(&t, partner, &n);

    uint64_t start = bench_now();

    pthread_mutex_lock(&lock);
    for (uint64_t i = 0; i < n; i++) {
        their_turn = true;
        pthread_cond_signal(&theirs);
        while (their_turn)
            pthread_cond_wait(&ours, &lock);
    }
    pthread_mutex_unlock(&lock);

    uint64_t took = bench_now() - start;

    bench_join(t);
    return took;
}

int main(int argc, char **argv)
{
    bench_print("cond_pingpong", bench_measure(rounds, bench_seconds(argc, argv, 1)), "ns");
    return 0;
}
