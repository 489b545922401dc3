/*
 * futex_wait, futex_wake and futex_requeue, the newer calls (Linux 6.7): masks, counts, absolute
 * deadlines on both clocks, errors; private and shared.
 */
#include "check.h"

#include "sleepers.h"

#include <stdint.h>

enum { WAKE = 454, WAIT = 455, REQUEUE = 456, WAITERS = 8 };

static unsigned word, other;
static int flags;

static void *wait_for_it(void *argument)
{
    CHECK_EQ(syscall(WAIT, &word, 0L, (long)argument, flags, NULL, 0), 0);
    return NULL;
}

static void *all(void *argument)
{
    struct timespec past = { 1, 0 }, t;

    FAILS(syscall(WAIT, &word, 1L, 1L, flags, NULL, 0), EAGAIN);
    FAILS(syscall(WAIT, &word, 0L, 0L, flags, NULL, 0), EINVAL);
    FAILS(syscall(WAIT, &word, 0L, 1L, flags | 0x40, NULL, 0), EINVAL);
    FAILS(syscall(WAIT, (char *)&word + 1, 0L, 1L, flags, NULL, 0), EINVAL);
    FAILS(syscall(WAIT, &word, 0L, 1L, flags, &past, CLOCK_BOOTTIME), EINVAL);
    FAILS(syscall(WAIT, &word, 1L << 32, 1L, flags, NULL, 0), EINVAL);
    t = from_now(CLOCK_REALTIME, 20);
    FAILS(syscall(WAIT, &word, 0L, 1L, flags, &t, CLOCK_REALTIME), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 20);
    FAILS(syscall(WAIT, &word, 0L, 1L, flags, &t, CLOCK_MONOTONIC), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    FAILS(syscall(WAKE, &word, 0L, 1, flags), EINVAL);
    FAILS(syscall(WAKE, (char *)&word + 1, 1L, 1, flags), EINVAL);
    return argument;
}

static void counts(void)
{
    pthread_t threads[WAITERS];
    struct futex_waitv v[2] = { { 1, (uintptr_t)&word, (unsigned)flags, 0 },
                                { 0, (uintptr_t)&other, (unsigned)flags, 0 } };

    for (long i = 0; i < WAITERS; i++) {
        threads[i] = start(wait_for_it, (void *)(i < 2 ? 1L : 2L));
    }
    await_sleepers(&word, flags & FUTEX_PRIVATE_FLAG, WAITERS);
    CHECK_EQ(syscall(WAKE, &word, 3L, 0, flags), 0);
    CHECK_EQ(syscall(WAKE, &word, 1L, 9, flags), 2);
    CHECK_EQ(syscall(WAKE, &word, 2L, 1, flags), 1);
    FAILS(syscall(REQUEUE, v, 0, 1, INT_MAX), EAGAIN);
    v[0].val = 0;
    FAILS(syscall(REQUEUE, v, 1, 1, INT_MAX), EINVAL);
    FAILS(syscall(REQUEUE, v, 0, -1, INT_MAX), EINVAL);
    CHECK_EQ(syscall(REQUEUE, v, 0, 1, INT_MAX), WAITERS - 3);
    CHECK_EQ(syscall(WAKE, &word, 3L, 9, flags), 0);
    CHECK_EQ(syscall(WAKE, &other, 1L, 9, flags), 0);
    CHECK_EQ(syscall(WAKE, &other, 2L, 9, flags), WAITERS - 4);
    for (int i = 0; i < WAITERS; i++) {
        finish(threads[i]);
    }
}

int main(void)
{
    watchdog();
    if (syscall(WAKE, NULL, 0L, 0, -1) < 0 && errno == ENOSYS) {
        SKIP("no futex_wake in this kernel");
    }
    for (int i = 0; i < 2; i++) {
        flags = FUTEX_32 | (i ? FUTEX_PRIVATE_FLAG : 0);
        all(NULL);
        finish(start(all, NULL));
        counts();
    }
    return 0;
}
