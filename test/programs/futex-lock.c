/*
 * A mutex made by hand from compare-and-swap and the private futex, as language runtimes make
 * theirs: no update and no wake-up is lost (Drepper, "Futexes are tricky", mutex 2).
 */
#include "check.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { THREADS = 16, ROUNDS = 1500 };

static atomic_uint word;
static volatile long a, b;

static void lock(void)
{
    unsigned expected = 0;

    if (atomic_compare_exchange_strong(&word, &expected, 1)) {
        return;
    }
    while (atomic_exchange(&word, 2) != 0) {
        long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL);
        CHECK(result == 0 || errno == EAGAIN || errno == EINTR);
    }
}

static void unlock(void)
{
    if (atomic_exchange(&word, 0) == 2) {
        SYS(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1));
    }
}

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock();
        CHECK_EQ(a, b);
        a++;
        if (i % 32 == 0) {
            sched_yield();
        }
        b++;
        unlock();
    }
    return argument;
}

int main(void)
{
    watchdog();
    run_threads(THREADS, body);
    CHECK_EQ(a, THREADS * ROUNDS);
    return 0;
}
