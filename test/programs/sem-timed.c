/*
 * sem_timedwait and sem_clockwait: ETIMEDOUT at the deadline and not before, EINVAL for nonsense
 * unless the semaphore is free, success within the time; a time-out takes no token away
 * (POSIX sem_timedwait, glibc sem_clockwait).
 */
#include "check.h"

#include <semaphore.h>

static sem_t sem;

static void *granted(void *argument)
{
    struct timespec t = from_now(argument ? CLOCK_MONOTONIC : CLOCK_REALTIME, 30000);

    SYS(argument ? sem_clockwait(&sem, CLOCK_MONOTONIC, &t) : sem_timedwait(&sem, &t));
    return NULL;
}

static void *refused(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 20);

    FAILS(sem_timedwait(&sem, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    FAILS(sem_timedwait(&sem, &t), ETIMEDOUT);
    t = from_now(CLOCK_MONOTONIC, 20);
    FAILS(sem_clockwait(&sem, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t.tv_nsec = 1000000000;
    FAILS(sem_timedwait(&sem, &t), EINVAL);
    FAILS(sem_clockwait(&sem, CLOCK_PROCESS_CPUTIME_ID, &t), EINVAL);
    return argument;
}

int main(void)
{
    struct timespec past = { 0, 0 };
    pthread_t threads[20];
    int value;

    watchdog();
    SYS(sem_init(&sem, 0, 1));
    SYS(sem_timedwait(&sem, &past));
    refused(NULL);
    run_threads(20, refused);
    for (int i = 0; i < 20; i++) {
        threads[i] = start(granted, i % 2 ? &sem : NULL);
    }
    nap(10);
    for (int i = 0; i < 20; i++) {
        SYS(sem_post(&sem));
    }
    for (int i = 0; i < 20; i++) {
        finish(threads[i]);
    }
    SYS(sem_getvalue(&sem, &value));
    CHECK_EQ(value, 0);
    return 0;
}
