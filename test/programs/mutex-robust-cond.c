/*
 * pthread_cond_wait answers EOWNERDEAD when the mutex that it takes again belonged to a thread that ended,
 * with the mutex held, and pthread_cond_timedwait too (POSIX). Private and process-shared.
 */
#include "check.h"

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static int shared, waiting, timed;
static struct timespec deadline;

static void *waits(void *argument)
{
    int error;

    deadline = from_now(CLOCK_REALTIME, timed ? 500 : 30000);
    OK(pthread_mutex_lock(&mutex));
    waiting = 1;
    error = pthread_cond_timedwait(&cond, &mutex, &deadline);
    CHECK_EQ(error, EOWNERDEAD);
    OK(pthread_mutex_consistent(&mutex));
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void *dies(void *argument)
{
    for (int there = 0; !there;) {
        OK(pthread_mutex_lock(&mutex));
        there = waiting;
        if (!there) {
            OK(pthread_mutex_unlock(&mutex));
            nap(1);
        }
    }
    if (!timed) {
        OK(pthread_cond_signal(&cond));
    }
    while (timed && !reached(CLOCK_REALTIME, deadline)) {
        nap(5);
    }
    nap(10);
    return argument;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < 4; i++) {
        pthread_mutexattr_t attr;
        pthread_condattr_t cond_attr;

        shared = i % 2;
        timed = i / 2;
        waiting = 0;
        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_setpshared(&attr, shared));
        OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
        OK(pthread_mutex_init(&mutex, &attr));
        OK(pthread_condattr_init(&cond_attr));
        OK(pthread_condattr_setpshared(&cond_attr, shared));
        OK(pthread_cond_init(&cond, &cond_attr));
        pthread_t waiter = start(waits, NULL);
        finish(start(dies, NULL));
        finish(waiter);
        OK(pthread_mutex_lock(&mutex));
        OK(pthread_mutex_unlock(&mutex));
        OK(pthread_mutex_destroy(&mutex));
        OK(pthread_cond_destroy(&cond));
    }
    return 0;
}
