/*
 * FUTEX_WAKE_BITSET wakes only waiters that have a bit in common, FUTEX_WAKE all kinds; deadlines of
 * FUTEX_WAIT_BITSET are absolute, on either clock (futex(2)). Private and shared.
 */
#include "check.h"

#include "sleepers.h"

static unsigned word;
static int private;

static void *wait_for_it(void *argument)
{
    unsigned bits = (unsigned)(long)argument;

    CHECK_EQ(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | private, 0, NULL, NULL, bits), 0);
    return NULL;
}

static long wake(unsigned bits, int n)
{
    return syscall(SYS_futex, &word, FUTEX_WAKE_BITSET | private, n, NULL, NULL, bits);
}

static void *expire(void *argument)
{
    struct timespec t = from_now(CLOCK_MONOTONIC, 30);

    FAILS(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | private, 0, &t, NULL, 1), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = from_now(CLOCK_REALTIME, 30);
    FAILS(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | private, 0, &t, NULL,
                  1),
          ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 30);
    struct timespec in = { 0, 30000000 };
    FAILS(syscall(SYS_futex, &word, FUTEX_WAIT | private, 0, &in, NULL, 0), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    return argument;
}

static void all(void)
{
    static const long bits[] = { 1, 2, 4, 6, 0x80000000l };
    pthread_t threads[5];

    for (int i = 0; i < 5; i++) {
        threads[i] = start(wait_for_it, (void *)bits[i]);
    }
    await_sleepers(&word, private, 5);
    CHECK_EQ(wake(8, 9), 0);
    CHECK_EQ(wake(1, 9), 1);
    finish(threads[0]);
    CHECK_EQ(wake(0x80000001u, 9), 1);
    finish(threads[4]);
    CHECK_EQ(wake(2, 1), 1);
    CHECK_EQ(wake(6, 9), 2);
    for (int i = 1; i < 4; i++) {
        finish(threads[i]);
    }
    threads[0] = start(wait_for_it, (void *)64);
    await_sleepers(&word, private, 1);
    CHECK_EQ(syscall(SYS_futex, &word, FUTEX_WAKE | private, 1, NULL, NULL, 0), 1);
    finish(threads[0]);
    finish(start(expire, NULL));
}

int main(void)
{
    watchdog();
    private = FUTEX_PRIVATE_FLAG;
    all();
    private = 0;
    all();
    return 0;
}
