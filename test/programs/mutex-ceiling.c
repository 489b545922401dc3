/*
 * Protocols of mutexes: what was set can be asked for, ceilings out of range are EINVAL, a thread without
 * a real-time policy is refused a mutex with a ceiling, one above the ceiling too, and one that holds it
 * runs at the ceiling (POSIX pthread_mutexattr_setprotocol, pthread_mutex_setprioceiling). A mutex with
 * inheritance is a mutex.
 */
#include "check.h"

#include <sched.h>

static pthread_mutex_t ceiled, inherited;
static long count;

static void *ordinary(void *argument)
{
    CHECK_EQ(pthread_mutex_lock(&ceiled), EINVAL);
    return argument;
}

static void *counts(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        OK(pthread_mutex_lock(&inherited));
        count++;
        OK(pthread_mutex_unlock(&inherited));
    }
    return argument;
}

int main(void)
{
    pthread_mutexattr_t attr;
    int value, low = sched_get_priority_min(SCHED_FIFO), high = sched_get_priority_max(SCHED_FIFO);

    watchdog();
    OK(pthread_mutexattr_init(&attr));
    CHECK_EQ(pthread_mutexattr_setprotocol(&attr, 77), EINVAL);
    OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutexattr_getprotocol(&attr, &value));
    CHECK_EQ(value, PTHREAD_PRIO_INHERIT);
    OK(pthread_mutex_init(&inherited, &attr));
    CHECK_EQ(pthread_mutex_getprioceiling(&inherited, &value), EINVAL);
    CHECK_EQ(pthread_mutex_setprioceiling(&inherited, low, &value), EINVAL);
    run_threads(6, counts);
    CHECK_EQ(count, 12000);
    OK(pthread_mutex_destroy(&inherited));

    OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT));
    CHECK_EQ(pthread_mutexattr_setprioceiling(&attr, high + 1), EINVAL);
    OK(pthread_mutexattr_setprioceiling(&attr, low + 4));
    OK(pthread_mutexattr_getprioceiling(&attr, &value));
    CHECK_EQ(value, low + 4);
    OK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE));
    OK(pthread_mutex_init(&ceiled, &attr));
    OK(pthread_mutex_getprioceiling(&ceiled, &value));
    CHECK_EQ(value, low + 4);
    CHECK_EQ(pthread_mutex_setprioceiling(&ceiled, high + 1, &value), EINVAL);
    CHECK_EQ(pthread_mutex_setprioceiling(&ceiled, low - 1, &value), EINVAL);
    OK(pthread_mutex_setprioceiling(&ceiled, low + 9, &value));
    CHECK_EQ(value, low + 4);
    OK(pthread_mutex_getprioceiling(&ceiled, &value));
    CHECK_EQ(value, low + 9);
    ordinary(NULL);
    finish(start(ordinary, NULL));
    OK(pthread_mutex_destroy(&ceiled));
    return 0;
}
