/* Threads that compute without a single call share the CPUs with each other and with sleepers. Each
 * loop must get its share, and each sleeper must get through its sleeps while they run. */
#include "check.h"

#include <stdatomic.h>

#define LOOPS    8
#define SLEEPERS 100
#define SLEEPS   5
#define GOAL     30 /* what every loop must reach, in units of work */

static atomic_int stop, awake;
static atomic_uint units[LOOPS];
static volatile unsigned sink;

/* No call, no system call: only registers and memory. */
static void *loop(void *arg)
{
    atomic_uint *mine = arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < 2000000; i++)
            sink = i;
        atomic_fetch_add_explicit(mine, 1, memory_order_relaxed);
    }
    return NULL;
}

static void *sleeper(void *arg)
{
    (void)arg;
    for (int i = 0; i < SLEEPS; i++) {
        struct timespec t = { 0, 20000000 };
        CHECK_EQ(nanosleep(&t, NULL), 0);
    }
    atomic_fetch_add(&awake, 1);
    return NULL;
}

int main(void)
{
    watchdog();
    pthread_t loops[LOOPS], sleepers[SLEEPERS];
    for (int i = 0; i < LOOPS; i++)
        OK(pthread_create(&loops[i], NULL, loop, &units[i]));
    for (int i = 0; i < SLEEPERS; i++)
        OK(pthread_create(&sleepers[i], NULL, sleeper, NULL));
    for (int i = 0; i < SLEEPERS; i++)
        OK(pthread_join(sleepers[i], NULL)); /* while the loops run */
    unsigned least, most;
    do {
        struct timespec t = { 0, 10000000 };
        CHECK_EQ(nanosleep(&t, NULL), 0);
        least = ~0u, most = 0;
        for (int i = 0; i < LOOPS; i++) {
            unsigned u = atomic_load(&units[i]);
            least = u < least ? u : least;
            most = u > most ? u : most;
        }
    } while (least < GOAL);
    atomic_store(&stop, 1);
    for (int i = 0; i < LOOPS; i++)
        OK(pthread_join(loops[i], NULL));
    CHECK(most < 8 * least);
    puts("all loops progress");
    return 0;
}
