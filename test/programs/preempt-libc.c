/* Threads that spend nearly all their time inside libc, which may hold its locks at any instruction:
 * malloc, stdio with one stream for all, formatting. They share the CPUs with each other and with
 * sleepers, and nobody waits for ever for a lock. */
#include "check.h"

#include <stdatomic.h>

#define LOOPS    9
#define SLEEPERS 20
#define GOAL     200

static atomic_int stop;
static atomic_uint rounds[LOOPS];
static FILE *common;

static void allocate(unsigned n)
{
    void *blocks[32];
    for (unsigned i = 0; i < 32; i++)
        blocks[i] = malloc(16 + (n * 37 + i * 211) % 3000);
    for (unsigned i = 0; i < 32; i++)
        free(blocks[(i * 7) % 32]);
}

static void print(unsigned n)
{
    for (int i = 0; i < 16; i++)
        fprintf(common, "%u %s\n", n, "a line of all threads");
}

static void format(unsigned n)
{
    char text[200];
    for (int i = 0; i < 16; i++)
        CHECK(snprintf(text, sizeof text, "%d %f %s %x", n, n * 0.7, "text", n) > 0);
}

static void *loop(void *arg)
{
    static void (*const work[])(unsigned) = { allocate, print, format };
    long id = (long)arg;
    for (unsigned n = 0; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
        for (int i = 0; i < 50; i++)
            work[id % 3](n);
        atomic_fetch_add_explicit(&rounds[id], 1, memory_order_relaxed);
    }
    return NULL;
}

static void *sleeper(void *arg)
{
    for (int i = 0; i < 10; i++) {
        struct timespec t = { 0, 3000000 };
        SYS(nanosleep(&t, NULL));
        free(malloc(100 + (size_t)i));
        fprintf(common, "sleeper %p\n", arg);
    }
    return NULL;
}

int main(void)
{
    watchdog();
    CHECK((common = fopen("/dev/null", "w")) != NULL);
    pthread_t loops[LOOPS], sleepers[SLEEPERS];
    for (long i = 0; i < LOOPS; i++)
        loops[i] = start(loop, (void *)i);
    for (int i = 0; i < SLEEPERS; i++)
        sleepers[i] = start(sleeper, NULL);
    for (int i = 0; i < SLEEPERS; i++)
        finish(sleepers[i]);
    for (int i = 0; i < LOOPS; i++)
        while (atomic_load(&rounds[i]) < GOAL)
            nap(5);
    atomic_store(&stop, 1);
    for (int i = 0; i < LOOPS; i++)
        finish(loops[i]);
    puts("everybody got on");
    return 0;
}
