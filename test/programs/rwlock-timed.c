/*
 * Timed and clock variants of the reader-writer locks: ETIMEDOUT and never early, EINVAL for
 * nonsense, success within the time (POSIX pthread_rwlock_timedrdlock, glibc clock variants).
 */
#include "check.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

static void *refused(void *argument)
{
    int may_read = *(int *)argument;
    struct timespec t = from_now(CLOCK_REALTIME, 20);

    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = from_now(CLOCK_REALTIME, 20);
    CHECK_EQ(pthread_rwlock_timedrdlock(&lock, &t), may_read ? 0 : ETIMEDOUT);
    if (may_read) {
        OK(pthread_rwlock_unlock(&lock));
    } else {
        CHECK(reached(CLOCK_REALTIME, t));
        t = from_now(CLOCK_MONOTONIC, 20);
        CHECK_EQ(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &t), ETIMEDOUT);
        CHECK(reached(CLOCK_MONOTONIC, t));
    }
    t.tv_nsec = -5;
    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &t), EINVAL);
    CHECK_EQ(pthread_rwlock_clockwrlock(&lock, CLOCK_PROCESS_CPUTIME_ID, &t), EINVAL);
    return NULL;
}

static void *granted(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 30000);
    struct timespec m = from_now(CLOCK_MONOTONIC, 30000);

    OK(pthread_rwlock_timedrdlock(&lock, &t));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_timedwrlock(&lock, &t));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &m));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &m));
    OK(pthread_rwlock_unlock(&lock));
    return argument;
}

int main(void)
{
    pthread_t threads[10];

    watchdog();
    for (int may_read = 0; may_read < 2; may_read++) {
        OK(may_read ? pthread_rwlock_rdlock(&lock) : pthread_rwlock_wrlock(&lock));
        finish(start(refused, &may_read));
        for (int i = 0; i < 10; i++) {
            threads[i] = start(granted, NULL);
        }
        nap(10);
        OK(pthread_rwlock_unlock(&lock));
        for (int i = 0; i < 10; i++) {
            finish(threads[i]);
        }
    }
    return 0;
}
