/*
 * The errors of read-write locks: EDEADLK for the writer, EBUSY, EINVAL of bad times even if the lock is
 * free (as glibc has it), ETIMEDOUT on both clocks (POSIX pthread_rwlock_*). Private and process-shared.
 */
#include "check.h"

static pthread_rwlock_t lock;

static const struct timespec past = { 1, 0 }, bad = { 0, 1000000000 };

static void *other(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 10);

    CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &past), ETIMEDOUT);
    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 10);
    CHECK_EQ(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    if (argument) {
        CHECK_EQ(pthread_rwlock_tryrdlock(&lock), EBUSY);
        CHECK_EQ(pthread_rwlock_timedrdlock(&lock, &past), ETIMEDOUT);
        t = from_now(CLOCK_MONOTONIC, 10);
        CHECK_EQ(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &t), ETIMEDOUT);
        CHECK(reached(CLOCK_MONOTONIC, t));
    } else {
        OK(pthread_rwlock_tryrdlock(&lock));
        OK(pthread_rwlock_timedrdlock(&lock, &past));
        OK(pthread_rwlock_unlock(&lock));
        OK(pthread_rwlock_unlock(&lock));
    }
    return NULL;
}

static void *all(void *argument)
{
    CHECK_EQ(pthread_rwlock_timedrdlock(&lock, &bad), EINVAL);
    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &bad), EINVAL);
    CHECK_EQ(pthread_rwlock_clockrdlock(&lock, CLOCK_BOOTTIME, &past), EINVAL);
    CHECK_EQ(pthread_rwlock_clockwrlock(&lock, CLOCK_THREAD_CPUTIME_ID, &past), EINVAL);
    OK(pthread_rwlock_wrlock(&lock));
    CHECK_EQ(pthread_rwlock_rdlock(&lock), EDEADLK);
    CHECK_EQ(pthread_rwlock_wrlock(&lock), EDEADLK);
    CHECK_EQ(pthread_rwlock_tryrdlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_timedrdlock(&lock, &past), EDEADLK);
    CHECK_EQ(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &past), EDEADLK);
    finish(start(other, &lock));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_rdlock(&lock));
    OK(pthread_rwlock_rdlock(&lock));
    finish(start(other, NULL));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &past));
    OK(pthread_rwlock_unlock(&lock));
    return argument;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < 6; i++) {
        static const int kinds[] = { PTHREAD_RWLOCK_PREFER_READER_NP,
                                     PTHREAD_RWLOCK_PREFER_WRITER_NP,
                                     PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP };
        pthread_rwlockattr_t attr;

        OK(pthread_rwlockattr_init(&attr));
        OK(pthread_rwlockattr_setkind_np(&attr, kinds[i % 3]));
        OK(pthread_rwlockattr_setpshared(&attr, i / 3));
        OK(pthread_rwlock_init(&lock, &attr));
        all(NULL);
        finish(start(all, NULL));
        OK(pthread_rwlock_destroy(&lock));
    }
    return 0;
}
