/* All memory comes from one arena, whose lock threads that compute hold much of the time, while other threads
 * are made, and wait in calls that block a kernel thread, for which memory is needed as well. Nobody waits for
 * ever for the lock.
 *
 * Fails (hangs) when a thread that was woken for a lock of libc's waits for its turn to run before it takes the
 * lock, and, with RADDLE_PROCS=1, when threads are stopped in libc's text like anywhere else. */
#include "check.h"

#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>

#define LOOPS   10
#define GOAL    20
#define WAITERS 30

static atomic_int stop;
static atomic_uint rounds[LOOPS];
static volatile unsigned sink;
static int held[2];

static void allocate(unsigned n)
{
    void *blocks[32]; /* too large for the caches of threads */
    for (unsigned i = 0; i < 32; i++) {
        blocks[i] = malloc(1100 + (n * 37 + i * 211) % 3000);
        for (unsigned work = 0; work < 100; work++) /* others get the lock, too */
            sink = work;
    }
    for (unsigned i = 0; i < 32; i++)
        free(blocks[(i * 7) % 32]);
}

static void *loop(void *arg)
{
    long id = (long)arg;
    for (unsigned n = 0; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
        for (int i = 0; i < 10; i++)
            allocate(n);
        atomic_fetch_add_explicit(&rounds[id], 1, memory_order_relaxed);
    }
    return NULL;
}

/* A request of the kind that a scheduler of ours would wait for, so that the next ones block elsewhere. */
static void *reader(void *arg)
{
    char byte;
    CHECK_EQ(SYS(read(held[0], &byte, 1)), 1);
    return arg;
}

static void *waiter(void *arg)
{
    int sig;
    OK(sigwait(arg, &sig));
    return NULL;
}

int main(void)
{
    sigset_t set;
    pthread_t waiters[WAITERS], reads[4];
    watchdog();
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    SYS(pipe(held));
    for (int i = 0; i < 4; i++)
        reads[i] = start(reader, NULL);
    pthread_t loops[LOOPS];
    for (long i = 0; i < LOOPS; i++)
        loops[i] = start(loop, (void *)i);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = start(waiter, &set);
        nap(3);
    }
    for (int i = 0; i < LOOPS; i++)
        while (atomic_load(&rounds[i]) < GOAL)
            nap(5);
    atomic_store(&stop, 1);
    for (int i = 0; i < LOOPS; i++)
        finish(loops[i]);
    for (int i = 0; i < WAITERS; i++) {
        OK(pthread_kill(waiters[i], SIGUSR1));
        finish(waiters[i]);
    }
    SYS(write(held[1], "four", 4));
    for (int i = 0; i < 4; i++)
        finish(reads[i]);
    puts("everybody got on");
    return 0;
}
