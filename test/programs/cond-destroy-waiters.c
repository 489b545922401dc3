/*
 * After a broadcast under the mutex a condition variable may be destroyed at once, though the waiters have
 * not run yet; its memory may be used for something else. The mutex may not be destroyed while a wait will
 * lock it again (POSIX pthread_cond_destroy). Private and process-shared.
 */
#include "check.h"

enum { WAITERS = 8, ROUNDS = 100 };

static pthread_mutex_t mutex;
static union {
    pthread_cond_t cond;
    char bytes[sizeof(pthread_cond_t)];
} u;
static int waiting, go;

static void *waits(void *argument)
{
    OK(pthread_mutex_lock(&mutex));
    waiting++;
    while (!go) {
        OK(pthread_cond_wait(&u.cond, &mutex));
    }
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

int main(void)
{
    pthread_t threads[WAITERS];

    watchdog();
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutexattr_t mutex_attr;
        pthread_condattr_t attr;

        OK(pthread_mutexattr_init(&mutex_attr));
        OK(pthread_mutexattr_setpshared(&mutex_attr, round % 2));
        OK(pthread_mutex_init(&mutex, &mutex_attr));
        OK(pthread_condattr_init(&attr));
        OK(pthread_condattr_setpshared(&attr, round % 2));
        OK(pthread_cond_init(&u.cond, &attr));
        waiting = go = 0;
        for (int i = 0; i < WAITERS; i++) {
            threads[i] = start(waits, NULL);
        }
        for (;;) {
            OK(pthread_mutex_lock(&mutex));
            if (waiting == WAITERS) {
                break;
            }
            OK(pthread_mutex_unlock(&mutex));
            sched_yield();
        }
        if (round % 2 == 0) {
            OK(pthread_mutex_unlock(&mutex));
            CHECK_EQ(pthread_mutex_destroy(&mutex), EBUSY);
            OK(pthread_mutex_lock(&mutex));
        }
        go = 1;
        OK(pthread_cond_broadcast(&u.cond));
        if (round % 2) {
            OK(pthread_mutex_unlock(&mutex)); /* process-shared: destroying waits for the waiters */
            OK(pthread_cond_destroy(&u.cond));
            memset(u.bytes, 0xff, sizeof(u.bytes));
        } else {
            OK(pthread_cond_destroy(&u.cond));
            memset(u.bytes, 0xff, sizeof(u.bytes));
            OK(pthread_mutex_unlock(&mutex));
        }
        for (int i = 0; i < WAITERS; i++) {
            finish(threads[i]);
        }
        OK(pthread_mutex_destroy(&mutex));
    }
    return 0;
}
