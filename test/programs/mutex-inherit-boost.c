/*
 * Whoever holds a mutex with priority inheritance runs at the priority of the highest that waits for it,
 * until it unlocks (POSIX, PTHREAD_PRIO_INHERIT). Needs the right to have a real-time policy.
 */
#include "check.h"

#include "priority.h"

static pthread_mutex_t mutex;

static void lock(void)
{
    OK(pthread_mutex_lock(&mutex));
}

static void unlock(void)
{
    OK(pthread_mutex_unlock(&mutex));
}

int main(void)
{
    pthread_mutexattr_t attr;

    watchdog();
    if (!real_time_allowed()) {
        SKIP("no real-time policy here");
    }
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutex_init(&mutex, &attr));
    check_lending(lock, unlock);
    OK(pthread_mutex_destroy(&mutex));
    return 0;
}
