/*
 * parked_memory: what a live thread that waits costs. Each thread has the default stack, formats a
 * string, allocates a little, and then parks on a condition variable. Prints for one thread the
 * process's own memory (anonymous pages and page tables), and what the whole system lost, which
 * adds what the kernel keeps for a thread.
 *
 *     parked_memory [threads]
 */
#include "bench.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER, leave = PTHREAD_COND_INITIALIZER;
static int parked;
static bool leaving;

static void *waiter(void *arg)
{
    char text[200];
    char *heap = malloc(100);

    if (!heap)
        bench_die("malloc failed");
    snprintf(text, sizeof text, "thread %ld of %s, %.3f", (long)arg, "many",
             0.5 * (double)(long)arg);
    snprintf(heap, 100, "%.90s", text);

    pthread_mutex_lock(&lock);
    parked++;
    pthread_cond_signal(&arrived);
    while (!leaving)
        pthread_cond_wait(&leave, &lock);
    pthread_mutex_unlock(&lock);
    if (strncmp(heap, text, 90))
        bench_die("a parked thread's memory changed");
    free(heap);
    return NULL;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 10000;
    pthread_t *t = n > 0 ? malloc(sizeof *t * (size_t)n) : NULL;

    if (!t)
        bench_die("usage: %s [threads]", argv[0]);
    memset(t, 0, sizeof *t * (size_t)n);

    long anon = bench_status("RssAnon"), tables = bench_status("VmPTE");
    long available = bench_mem_available();

    for (int i = 0; i < n; i++)
        bench_create(&t[i], waiter, (void *)(long)i);
    pthread_mutex_lock(&lock);
    while (parked < n)
        pthread_cond_wait(&arrived, &lock);
    pthread_mutex_unlock(&lock);
    /* The last to arrive has signalled but may still be on its way into the wait. */
    usleep(200000);

    anon = bench_status("RssAnon") - anon;
    tables = bench_status("VmPTE") - tables;
    available -= bench_mem_available();
    bench_print("parked_memory", 1024.0 * (double)(anon + tables) / n, "B");
    bench_print("parked_memory_rss", 1024.0 * (double)anon / n, "B");
    bench_print("parked_memory_tables", 1024.0 * (double)tables / n, "B");
    bench_print("parked_memory_system", 1024.0 * (double)available / n, "B");
    bench_print("parked_memory_kernel_threads", (double)bench_status("Threads"), "threads");

    pthread_mutex_lock(&lock);
    leaving = true;
    pthread_cond_broadcast(&leave);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < n; i++)
        bench_join(t[i]);
    free(t);
    return 0;
}
