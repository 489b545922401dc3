/*
 * preempt_cost: two threads compute on one CPU without a call. Both note the time-stamp counter all
 * the time, so when they are switched, the one that goes on sees for how long nobody ran: what it costs to take the CPU from one and give it to the other. The median over all switches.
 */
#include "bench.h"
#include <sched.h>
#include <stdatomic.h>

#define MOST 100000

static atomic_int stop;
static volatile uint64_t last[3]; /* of each thread */
static volatile int owner;
static uint64_t gaps[MOST];
static volatile unsigned ngaps;

static inline uint64_t stamp(void)
{
    return __builtin_ia32_rdtsc();
}

static void *loop(void *arg)
{
    int me = (int)(intptr_t)arg;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        if (owner != me) {
            uint64_t now = stamp(), then = last[owner];

            if (owner && now > then && ngaps < MOST)
                gaps[ngaps++] = now - then;
            owner = me;
        }
        last[me] = stamp();
    }
    return NULL;
}

int main(int argc, char **argv)
{
    double seconds = bench_seconds(argc, argv, 1);
    cpu_set_t all, one;

    /* One CPU, so one proc under the library. */
    if (sched_getaffinity(0, sizeof all, &all))
        bench_die("sched_getaffinity failed");
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0; i--)
        if (CPU_ISSET(i, &all) && !CPU_COUNT(&one))
            CPU_SET(i, &one);
    if (sched_setaffinity(0, sizeof one, &one))
        bench_die("sched_setaffinity failed");

    pthread_t t[2];
    uint64_t start = bench_now(), ticks = stamp();

    for (intptr_t i = 0; i < 2; i++)
        bench_create(&t[i], loop, (void *)(i + 1));
    usleep((useconds_t)(seconds * 1e6));
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        bench_join(t[i]);

    double per_tick = (double)(bench_now() - start) / (double)(stamp() - ticks);
    double result[MOST];

    for (unsigned i = 0; i < ngaps; i++)
        result[i] = (double)gaps[i] * per_tick;
    if (!ngaps)
        bench_die("the threads were never switched");
    qsort(result, ngaps, sizeof result[0], bench_by_value);
    bench_print("preempt_cost", result[ngaps / 2], "ns");
    bench_print("preempt_switches", (double)ngaps / seconds, "1/s");
    return 0;
}
