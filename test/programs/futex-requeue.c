/*
 * FUTEX_REQUEUE and FUTEX_CMP_REQUEUE wake the first and move the rest, and count both; the moved ones
 * are woken at the other address; deadlines hold for them too (futex(2)). Private and shared.
 */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { WAITERS = 12 };

static unsigned before, from, to;
static int private;
static atomic_int woken, expired;

/* The deadline in milliseconds, 0 for none. */
static void *wait_for_it(void *argument)
{
    long ms = (long)argument;
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    if (syscall(SYS_futex, &before, FUTEX_WAIT | private, 0, ms ? &t : NULL, NULL, 0) == 0) {
        woken++;
    } else {
        CHECK_EQ(errno, ETIMEDOUT);
        expired++;
    }
    return NULL;
}

static long wake(unsigned *addr, int n)
{
    return syscall(SYS_futex, addr, FUTEX_WAKE | private, n, NULL, NULL, 0);
}

static long requeue(unsigned *a, unsigned *b, int op, int wakes, long moves)
{
    return SYS(syscall(SYS_futex, a, op | private, wakes, moves, b, 0));
}

/* Waits until n have been woken, and a moment for more that should not. */
static void await_woken(int n)
{
    while (woken < n) {
        nap(1);
    }
    nap(5);
    CHECK_EQ(woken, n);
}

static void all(int op)
{
    pthread_t threads[WAITERS];

    woken = expired = 0;
    for (long i = 0; i < WAITERS; i++) {
        threads[i] = start(wait_for_it, NULL);
    }
    /* Moved from where they arrive, each is known to wait. */
    for (long moved = 0; moved < WAITERS; nap(1)) {
        moved += requeue(&before, &from, op, 0, INT_MAX);
        CHECK(moved <= WAITERS);
    }
    CHECK_EQ(woken, 0);
    CHECK_EQ(wake(&before, INT_MAX), 0);
    /* One woken, three moved, then two woken and all others moved. */
    CHECK_EQ(requeue(&from, &to, op, 1, 3), 4);
    await_woken(1);
    CHECK_EQ(requeue(&from, &to, op, 2, INT_MAX), WAITERS - 4);
    CHECK_EQ(wake(&from, INT_MAX), 0);
    await_woken(3);
    CHECK_EQ(wake(&to, 2), 2);
    await_woken(5);
    CHECK_EQ(wake(&to, INT_MAX), WAITERS - 5);
    for (int i = 0; i < WAITERS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(woken, WAITERS);
    CHECK_EQ(expired, 0);
}

/* Moved before its deadline, and nobody wakes it. On a busy machine it may take a longer deadline. */
static void late(int op)
{
    long moved = 0;

    for (long ms = 30; !moved; ms *= 2) {
        woken = expired = 0;
        pthread_t thread = start(wait_for_it, (void *)ms);
        while (!moved && !expired) {
            nap(1);
            moved = requeue(&before, &to, op, 0, INT_MAX);
        }
        finish(thread);
        CHECK_EQ(expired, 1);
        CHECK_EQ(wake(&to, INT_MAX), 0);
    }
}

int main(void)
{
    static const int ops[] = { FUTEX_REQUEUE, FUTEX_CMP_REQUEUE };

    watchdog();
    for (int shared = 0; shared < 2; shared++) {
        private = shared ? 0 : FUTEX_PRIVATE_FLAG;
        for (int i = 0; i < 2; i++) {
            all(ops[i]);
            late(ops[i]);
        }
    }
    return 0;
}
