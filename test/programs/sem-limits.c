/*
 * The limits and errors of semaphores: SEM_VALUE_MAX, EOVERFLOW, EINVAL of bad times and clocks
 * (POSIX sem_init, sem_post, sem_timedwait).
 */
#include "check.h"

#include <limits.h>
#include <semaphore.h>

static void *all(void *argument)
{
    struct timespec past = { 1, 0 }, negative = { -1, 0 }, bad = { 0, -1 };
    int value;
    sem_t sem;

    for (int shared = 0; shared < 2; shared++) {
        FAILS(sem_init(&sem, shared, (unsigned)SEM_VALUE_MAX + 1), EINVAL);
        SYS(sem_init(&sem, shared, SEM_VALUE_MAX));
        FAILS(sem_post(&sem), EOVERFLOW);
        SYS(sem_getvalue(&sem, &value));
        CHECK_EQ(value, SEM_VALUE_MAX);
        SYS(sem_wait(&sem));
        SYS(sem_post(&sem));
        SYS(sem_destroy(&sem));
        SYS(sem_init(&sem, shared, 1));
        FAILS(sem_timedwait(&sem, &bad), EINVAL);
        SYS(sem_timedwait(&sem, &past));
        FAILS(sem_timedwait(&sem, &past), ETIMEDOUT);
        FAILS(sem_timedwait(&sem, &negative), ETIMEDOUT);
        FAILS(sem_clockwait(&sem, CLOCK_MONOTONIC, &past), ETIMEDOUT);
        FAILS(sem_clockwait(&sem, CLOCK_BOOTTIME, &past), EINVAL);
        FAILS(sem_clockwait(&sem, CLOCK_MONOTONIC, &bad), EINVAL);
        SYS(sem_destroy(&sem));
    }
    return argument;
}

int main(void)
{
    watchdog();
    all(NULL);
    finish(start(all, NULL));
    return 0;
}
