/*
 * live100k: makes 100,000 threads that are all alive at once, wakes them all and joins them. A
 * system that cannot hold so many is no error: the program prints how far it came, wakes those
 * there are, and exits 0.
 *
 *     live100k [threads]
 */
#include "bench.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER, leave = PTHREAD_COND_INITIALIZER;
static int alive, sum_of_leavers;
static bool leaving;

static void *waiter(void *arg)
{
    pthread_mutex_lock(&lock);
    alive++;
    pthread_cond_signal(&arrived);
    while (!leaving)
        pthread_cond_wait(&leave, &lock);
    sum_of_leavers++;
    pthread_mutex_unlock(&lock);
    return arg;
}

int main(int argc, char **argv)
{
    int want = argc > 1 ? atoi(argv[1]) : 100000, n = 0, error = 0;
    pthread_t *t = want > 0 ? calloc((size_t)want, sizeof *t) : NULL;

    if (!t)
        bench_die("usage: %s [threads]", argv[0]);

    uint64_t start = bench_now();

    for (; n < want; n++) {
        error = pthread_create(&t[n], NULL, waiter, (void *)(intptr_t)n);
        if (error)
            break;
    }
    if (error && error != EAGAIN)
        bench_check(error, "pthread_create");
    pthread_mutex_lock(&lock);
    while (alive < n)
        pthread_cond_wait(&arrived, &lock);
    pthread_mutex_unlock(&lock);

    uint64_t there = bench_now();

    bench_print("live100k", n, "threads");
    bench_print("live100k_create", (double)(there - start) / (n ? n : 1), "ns");
    bench_print("live100k_kernel_threads", (double)bench_status("Threads"), "threads");
    bench_print("live100k_memory",
                1024.0 * (double)(bench_status("RssAnon") + bench_status("VmPTE")) / (n ? n : 1),
                "B");

    there = bench_now();
    pthread_mutex_lock(&lock);
    leaving = true;
    pthread_cond_broadcast(&leave);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < n; i++) {
        void *result;

        bench_check(pthread_join(t[i], &result), "pthread_join");
        if (result != (void *)(intptr_t)i)
            bench_die("thread %d ended with another thread's result", i);
    }
    if (sum_of_leavers != n)
        bench_die("%d of %d threads left", sum_of_leavers, n);
    bench_print("live100k_wake_join", (double)(bench_now() - there) / (n ? n : 1), "ns");
    free(t);
    return 0;
}
