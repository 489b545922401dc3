/*
 * The futex system call: EAGAIN for another value, ETIMEDOUT never early (relative and absolute,
 * two clocks), wake counts, bitsets, requeue, private and shared (futex(2)).
 */
#include "check.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { THREADS = 10 };

static unsigned word, other_word;
static atomic_int awake, entered;
static int flag;

static long futex(unsigned *address, int operation, unsigned value, const void *timeout_or_count,
                  unsigned *address2, unsigned value3)
{
    return syscall(SYS_futex, address, operation | flag, value, timeout_or_count, address2, value3);
}

static void *waits(void *argument)
{
    unsigned bits = (unsigned)*(int *)argument;

    entered++;
    CHECK_EQ(bits ? futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, bits)
                  : futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0),
             0);
    awake++;
    return NULL;
}

/* Wakes until count threads have been woken: they may still be on their way into the wait. */
static void wake(int count, unsigned bits)
{
    while (count > 0) {
        long n = bits ? futex(&word, FUTEX_WAKE_BITSET, (unsigned)count, NULL, NULL, bits)
                      : futex(&word, FUTEX_WAKE, (unsigned)count, NULL, NULL, 0);

        SYS(n);
        CHECK(n <= count);
        count -= (int)n;
        usleep(100);
    }
}

static void run(void)
{
    pthread_t threads[THREADS];
    int bits[THREADS];
    struct timespec t, relative = { 0, 20000000 };

    FAILS(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    t = from_now(CLOCK_MONOTONIC, 20);
    FAILS(futex(&word, FUTEX_WAIT, 0, &relative, NULL, 0), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = from_now(CLOCK_MONOTONIC, 20);
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, &t, NULL, ~0u), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = from_now(CLOCK_REALTIME, 20);
    FAILS(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, NULL, ~0u), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    CHECK_EQ(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 0);

    awake = 0;
    for (int i = 0; i < THREADS; i++) {
        bits[i] = 0;
        threads[i] = start(waits, &bits[i]);
    }
    wake(3, 0);
    wake(THREADS - 3, 0);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(awake, THREADS);

    for (int i = 0; i < THREADS; i++) {
        bits[i] = i % 2 ? 1 : 6;
        threads[i] = start(waits, &bits[i]);
    }
    wake(THREADS / 2, 1);
    for (int i = 1; i < THREADS; i += 2) {
        finish(threads[i]);
    }
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET, 100, NULL, NULL, 8 | 1), 0);
    wake(THREADS / 2, 4);
    for (int i = 0; i < THREADS; i += 2) {
        finish(threads[i]);
    }

    /* One is woken, the others move to the second word. */
    int left = THREADS;
    for (int i = 0; i < THREADS; i++) {
        bits[i] = 0;
        threads[i] = start(waits, &bits[i]);
    }
    FAILS(futex(&word, FUTEX_CMP_REQUEUE, 0, (void *)100, &other_word, 1), EAGAIN);
    while (left > 0) {
        long n = SYS(futex(&word, FUTEX_CMP_REQUEUE, 0, (void *)100, &other_word, 0));

        CHECK(n <= left);
        left -= (int)n;
        usleep(100);
    }
    CHECK_EQ(futex(&word, FUTEX_WAKE, 100, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&other_word, FUTEX_WAKE, 4, NULL, NULL, 0), 4);
    CHECK_EQ(futex(&other_word, FUTEX_WAKE, 100, NULL, NULL, 0), THREADS - 4);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(awake, 3 * THREADS);
}

int main(void)
{
    watchdog();
    flag = FUTEX_PRIVATE_FLAG;
    run();
    flag = 0;
    run();
    FAILS(futex(&word, FUTEX_WAIT, 0, &(struct timespec){ 0, -1 }, NULL, 0), EINVAL);
    return 0;
}
