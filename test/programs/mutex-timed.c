/*
 * pthread_mutex_timedlock and pthread_mutex_clocklock: ETIMEDOUT at the deadline and not before,
 * EINVAL for nonsense, and a free mutex is taken whatever the deadline
 * (POSIX pthread_mutex_timedlock, glibc pthread_mutex_clocklock).
 */
#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

static void *refused(void *argument)
{
    pthread_mutex_t *m = argument;
    struct timespec t = from_now(CLOCK_REALTIME, 20);

    CHECK_EQ(pthread_mutex_timedlock(m, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    CHECK_EQ(pthread_mutex_timedlock(m, &t), ETIMEDOUT);
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t.tv_nsec = 1000000000;
    CHECK_EQ(pthread_mutex_timedlock(m, &t), EINVAL);
    CHECK_EQ(pthread_mutex_clocklock(m, CLOCK_PROCESS_CPUTIME_ID, &t), EINVAL);
    return NULL;
}

static void *granted(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 30000);

    OK(pthread_mutex_timedlock(argument, &t));
    OK(pthread_mutex_unlock(argument));
    t = from_now(CLOCK_MONOTONIC, 30000);
    OK(pthread_mutex_clocklock(argument, CLOCK_MONOTONIC, &t));
    OK(pthread_mutex_unlock(argument));
    return NULL;
}

int main(void)
{
    pthread_mutex_t *mutexes[] = { &mutex, &recursive, &checking };
    struct timespec past = { 0, 0 }, later;

    watchdog();
    for (int i = 0; i < 3; i++) {
        OK(pthread_mutex_timedlock(mutexes[i], &past));
        pthread_t threads[10];

        for (int k = 0; k < 10; k++) {
            threads[k] = start(refused, mutexes[i]);
        }
        for (int k = 0; k < 10; k++) {
            finish(threads[k]);
        }
        for (int k = 0; k < 10; k++) {
            threads[k] = start(granted, mutexes[i]);
        }
        nap(10);
        OK(pthread_mutex_unlock(mutexes[i]));
        for (int k = 0; k < 10; k++) {
            finish(threads[k]);
        }
    }
    later = from_now(CLOCK_REALTIME, 30000);
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_mutex_timedlock(&recursive, &later));
    OK(pthread_mutex_lock(&checking));
    CHECK_EQ(pthread_mutex_timedlock(&checking, &later), EDEADLK);
    later = from_now(CLOCK_REALTIME, 10);
    OK(pthread_mutex_lock(&mutex));
    CHECK_EQ(pthread_mutex_timedlock(&mutex, &later), ETIMEDOUT);
    return 0;
}
