/* Threads that wait for others by spinning on memory, with no call in the loop: a flag that another
 * thread sets, a number that goes from thread to thread, the last first, so that all CPUs spin for somebody
 * who has not run yet, and a spin lock written by hand that many threads want.
 *
 * Fails (hangs) when the monitor neither stops nor passes over a thread that computes. */
#include "check.h"

#include <stdatomic.h>

#define THREADS 64
#define CHAIN   40
#define TURNS   30

static atomic_int flag, go, word, inside, number;
static long total;
static volatile int sink;

static void *setter(void *arg)
{
    (void)arg;
    atomic_store(&flag, 1);
    while (atomic_load_explicit(&flag, memory_order_relaxed) != 2)
        ;
    atomic_store(&flag, 3);
    return NULL;
}

static void *contender(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&go, memory_order_relaxed))
        ;
    for (int i = 0; i < TURNS; i++) {
        while (atomic_exchange_explicit(&word, 1, memory_order_acquire))
            ;
        CHECK_EQ(atomic_fetch_add(&inside, 1), 0);
        for (int work = 0; work < 20000; work++)
            sink = work;
        total++;
        atomic_fetch_sub(&inside, 1);
        atomic_store_explicit(&word, 0, memory_order_release);
        for (int work = 0; work < 100000; work++)
            sink = work;
    }
    return NULL;
}

static void *link_of(void *arg)
{
    int mine = (int)(long)arg;
    while (atomic_load_explicit(&number, memory_order_relaxed) != mine)
        ;
    atomic_store(&number, mine + 1);
    return NULL;
}

int main(void)
{
    watchdog();
    pthread_t other = start(setter, NULL), threads[THREADS];
    while (atomic_load_explicit(&flag, memory_order_relaxed) != 1)
        ;
    atomic_store(&flag, 2);
    while (atomic_load_explicit(&flag, memory_order_relaxed) != 3)
        ;
    finish(other);
    for (long i = CHAIN - 1; i >= 0; i--)
        threads[i] = start(link_of, (void *)i);
    for (int i = 0; i < CHAIN; i++)
        finish(threads[i]);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(contender, NULL);
    atomic_store(&go, 1);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    CHECK_EQ(total, THREADS * TURNS);
    puts("all had their turns");
    return 0;
}
