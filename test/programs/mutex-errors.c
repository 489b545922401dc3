/*
 * The errors that the types of mutexes are specified to answer, private and process-shared: EDEADLK,
 * EPERM, EBUSY, EINVAL, ETIMEDOUT, and EAGAIN at the limit of recursion (POSIX pthread_mutex_lock,
 * pthread_mutex_timedlock, pthread_mutex_destroy).
 */
#include "check.h"

#include <limits.h>

static pthread_mutex_t mutex;
static int type;

static const struct timespec bad = { 0, 1000000000 }, negative = { -1, 0 }, past = { 1, 0 };

static void *by_another(void *argument)
{
    struct timespec t;

    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    CHECK_EQ(pthread_mutex_timedlock(&mutex, &bad), EINVAL);
    CHECK_EQ(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_timedlock(&mutex, &negative), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &bad), EINVAL);
    CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_BOOTTIME, &past), EINVAL);
    CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &past), EINVAL);
    t = from_now(CLOCK_REALTIME, 10);
    CHECK_EQ(pthread_mutex_timedlock(&mutex, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 10);
    CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE) {
        CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    }
    CHECK_EQ(pthread_mutex_destroy(&mutex), EBUSY);
    return argument;
}

static void *all(void *argument)
{
    /* Free: the time does not matter. */
    OK(pthread_mutex_timedlock(&mutex, &bad));
    OK(pthread_mutex_unlock(&mutex));
    OK(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past));
    if (type == PTHREAD_MUTEX_ERRORCHECK) {
        CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
        CHECK_EQ(pthread_mutex_timedlock(&mutex, &bad), EDEADLK);
        CHECK_EQ(pthread_mutex_timedlock(&mutex, &past), EDEADLK);
        CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    } else if (type == PTHREAD_MUTEX_RECURSIVE) {
        OK(pthread_mutex_lock(&mutex));
        OK(pthread_mutex_trylock(&mutex));
        OK(pthread_mutex_timedlock(&mutex, &bad));
        for (int i = 0; i < 3; i++) {
            OK(pthread_mutex_unlock(&mutex));
        }
        mutex.__data.__count = UINT_MAX;
        CHECK_EQ(pthread_mutex_lock(&mutex), EAGAIN);
        CHECK_EQ(pthread_mutex_trylock(&mutex), EAGAIN);
        CHECK_EQ(pthread_mutex_timedlock(&mutex, &past), EAGAIN);
        mutex.__data.__count = 1;
    } else {
        CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
        CHECK_EQ(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
    }
    finish(start(by_another, NULL));
    OK(pthread_mutex_unlock(&mutex));
    if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE) {
        CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    }
    return argument;
}

int main(void)
{
    static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                 PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP };

    watchdog();
    for (int i = 0; i < 8; i++) {
        pthread_mutexattr_t attr;

        type = types[i % 4];
        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, type));
        OK(pthread_mutexattr_setpshared(&attr, i / 4));
        OK(pthread_mutex_init(&mutex, &attr));
        all(NULL);
        finish(start(all, NULL));
        OK(pthread_mutex_destroy(&mutex));
    }
    return 0;
}
