/*
 * Threads that do nothing but create and join others leave the CPUs to the rest too: a thread that is
 * only ready to run runs, and one that sleeps wakes up, while they go on.
 */
#include "check.h"

#include <stdatomic.h>

enum { LOOPS = 8 };

static atomic_int stop;

static void *nothing(void *argument)
{
    return argument;
}

static void *loops(void *argument)
{
    while (!atomic_load(&stop)) {
        finish(start(nothing, NULL));
    }
    return argument;
}

static void *stops(void *argument)
{
    nap(10);
    atomic_store(&stop, 1);
    return argument;
}

int main(void)
{
    pthread_t threads[LOOPS];

    watchdog();
    for (int i = 0; i < LOOPS; i++) {
        threads[i] = start(loops, NULL);
    }
    start(stops, NULL);
    loops(NULL);
    for (int i = 0; i < LOOPS; i++) {
        finish(threads[i]);
    }
    return 0;
}
