/*
 * mutex: lock and unlock of a default mutex, alone (but in a process that has made a thread, so
 * that no single-threaded short cut applies) and with four threads that want the same one.
 */
#include "bench.h"

#define CONTENDERS 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t begin;
static volatile uint64_t guarded;

static void *contender(void *arg)
{
    uint64_t n = *(uint64_t *)arg;

    pthread_barrier_wait(&begin);
    for (uint64_t i = 0; i < n; i++) {
        pthread_mutex_lock(&lock);
        guarded++;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static uint64_t alone(uint64_t n)
{
    uint64_t start = bench_now();

    for (uint64_t i = 0; i < n; i++) {
        pthread_mutex_lock(&lock);
        pthread_mutex_unlock(&lock);
    }
    return bench_now() - start;
}

static uint64_t contended(uint64_t n)
{
    uint64_t each = n / CONTENDERS + 1;
    pthread_t t[CONTENDERS];

    guarded = 0;
    bench_check(pthread_barrier_init(&begin, NULL, CONTENDERS + 1), "pthread_barrier_init");
    for (int i = 0; i < CONTENDERS; i++)
        bench_create(&t[i], contender, &each);

    uint64_t start = bench_now();

    pthread_barrier_wait(&begin);
    for (int i = 0; i < CONTENDERS; i++)
        bench_join(t[i]);

    uint64_t took = bench_now() - start;

    pthread_barrier_destroy(&begin);
    if (guarded != each * CONTENDERS)
        bench_die("mutex: %lu increments were lost", (unsigned long)(each * CONTENDERS - guarded));
    return (uint64_t)((double)took * (double)n / (double)(each * CONTENDERS));
}

static void *nothing(void *arg)
{
    return arg;
}

int main(int argc, char **argv)
{
    double seconds = bench_seconds(argc, argv, 1);
    pthread_t t;

    bench_create(&t, nothing, NULL);
    bench_join(t);
    bench_print("mutex", bench_measure(alone, seconds), "ns");
    bench_print("mutex_contended4", bench_measure(contended, seconds), "ns");
    return 0;
}
