/*
 * pthread_once runs its routine once, all callers return only after it has finished even if it
 * blocks, different controls do not wait for each other, and a routine that is cancelled counts
 * as not run (POSIX pthread_once).
 */
#include "check.h"

#include <semaphore.h>

enum { THREADS = 40 };

static pthread_once_t slow = PTHREAD_ONCE_INIT;
static pthread_once_t outer = PTHREAD_ONCE_INIT;
static pthread_once_t inner = PTHREAD_ONCE_INIT;
static pthread_once_t cancelled = PTHREAD_ONCE_INIT;
static int runs, finished, inner_runs, attempts;
static sem_t started;

static void initialise(void)
{
    runs++;
    nap(30);
    finished = 1;
}

static void initialise_inner(void)
{
    nap(1);
    inner_runs++;
}

static void initialise_outer(void)
{
    OK(pthread_once(&inner, initialise_inner));
    CHECK_EQ(inner_runs, 1);
}

static void initialise_late(void)
{
    if (++attempts == 1) {
        sem_post(&started);
        for (;;) {
            nap(1000);
        }
    }
}

static void *body(void *argument)
{
    OK(pthread_once(&slow, initialise));
    CHECK_EQ(finished, 1);
    OK(pthread_once(&outer, initialise_outer));
    OK(pthread_once(&inner, initialise_inner));
    CHECK_EQ(inner_runs, 1);
    return argument;
}

static void *late(void *argument)
{
    OK(pthread_once(&cancelled, initialise_late));
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    run_threads(THREADS, body);
    CHECK_EQ(runs, 1);

    SYS(sem_init(&started, 0, 0));
    pthread_t first = start(late, NULL);
    sem_wait(&started);
    threads[0] = start(late, NULL);
    threads[1] = start(late, NULL);
    nap(10);
    OK(pthread_cancel(first));
    CHECK(finish(first) == PTHREAD_CANCELED);
    finish(threads[0]);
    finish(threads[1]);
    CHECK_EQ(attempts, 2);
    return 0;
}
