/*
 * An initialiser that is cancelled, or leaves by pthread_exit, has not run: a waiting thread runs it
 * again, and exactly one completes (POSIX pthread_once).
 */
#include "check.h"

#include <semaphore.h>
#include <stdatomic.h>

static pthread_once_t once;
static sem_t inside;
static atomic_int runs, completed, leave;

static void init(void)
{
    int run = ++runs;

    sem_post(&inside);
    if (run == 1) {
        if (leave) {
            nap(5);
            pthread_exit(&once);
        }
        for (;;) {
            pause();
        }
    }
    completed++;
}

static void *body(void *argument)
{
    OK(pthread_once(&once, init));
    CHECK_EQ(completed, 1);
    return argument;
}

int main(void)
{
    enum { WAITERS = 8 };
    pthread_t waiters[WAITERS];

    watchdog();
    SYS(sem_init(&inside, 0, 0));
    for (int round = 0; round < 40; round++) {
        once = PTHREAD_ONCE_INIT;
        runs = completed = 0;
        leave = round % 2;
        pthread_t first = start(body, NULL);

        sem_wait(&inside);
        for (int i = 0; i < WAITERS; i++) {
            waiters[i] = start(body, &runs);
        }
        nap(2);
        if (!leave) {
            OK(pthread_cancel(first));
        }
        CHECK(finish(first) == (leave ? (void *)&once : PTHREAD_CANCELED));
        for (int i = 0; i < WAITERS; i++) {
            CHECK(finish(waiters[i]) == &runs);
        }
        sem_wait(&inside);
        CHECK_EQ(runs, 2);
        CHECK_EQ(completed, 1);
    }
    return 0;
}
