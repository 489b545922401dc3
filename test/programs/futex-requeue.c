/*
 * FUTEX_REQUEUE and FUTEX_CMP_REQUEUE wake the first and move the rest, and count both; the moved ones
 * are woken at the other address; deadlines hold for them too (futex(2)). Private and shared.
 */
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

enum { WAITERS = 12 };

static unsigned from, to;
static int private, waiting, woken, expired;

static void *wait_for_it(void *argument)
{
    struct timespec t = { 0, 400000000 };

    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    if (syscall(SYS_futex, &from, FUTEX_WAIT | private, 0, argument ? &t : NULL, NULL, 0) == 0) {
        __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    } else {
        CHECK_EQ(errno, ETIMEDOUT);
        __atomic_add_fetch(&expired, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static long wake(unsigned *addr, int n)
{
    return syscall(SYS_futex, addr, FUTEX_WAKE | private, n, NULL, NULL, 0);
}

static void all(int op)
{
    pthread_t threads[WAITERS];

    waiting = woken = expired = 0;
    for (long i = 0; i < WAITERS; i++) {
        if (i == WAITERS - 1) {
            nap(30); /* the one with a deadline comes last */
        }
        threads[i] = start(wait_for_it, (void *)(i == WAITERS - 1 ? 1L : 0L));
    }
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < WAITERS) {
        nap(1);
    }
    nap(50);
    /* One woken, three moved, then two woken and all others moved. */
    CHECK_EQ(syscall(SYS_futex, &from, op | private, 1, 3L, &to, 0), 4);
    nap(5);
    CHECK_EQ(__atomic_load_n(&woken, __ATOMIC_SEQ_CST), 1);
    CHECK_EQ(syscall(SYS_futex, &from, op | private, 2, (long)INT_MAX, &to, 0), WAITERS - 4);
    CHECK_EQ(wake(&from, INT_MAX), 0);
    nap(500);
    CHECK_EQ(
        __atomic_load_n(&woken, __ATOMIC_SEQ_CST) + __atomic_load_n(&expired, __ATOMIC_SEQ_CST), 4);
    CHECK_EQ(wake(&to, 2), 2);
    CHECK_EQ(wake(&to, INT_MAX), WAITERS - 6);
    for (int i = 0; i < WAITERS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(expired, 1);
}

int main(void)
{
    watchdog();
    private = FUTEX_PRIVATE_FLAG;
    all(FUTEX_REQUEUE);
    all(FUTEX_CMP_REQUEUE);
    private = 0;
    all(FUTEX_CMP_REQUEUE);
    return 0;
}
