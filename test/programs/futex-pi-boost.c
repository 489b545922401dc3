/*
 * Whoever holds a lock made by hand from FUTEX_LOCK_PI runs at the priority of the highest that waits for it,
 * until it unlocks (futex(2)). Needs the right to have a real-time policy.
 */
#include "check.h"

#include "priority.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static atomic_uint word;

static void lock(void)
{
    unsigned none = 0;
    if (!atomic_compare_exchange_strong(&word, &none, (unsigned)syscall(SYS_gettid))) {
        SYS(syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    }
}

static void unlock(void)
{
    unsigned mine = (unsigned)syscall(SYS_gettid);
    if (!atomic_compare_exchange_strong(&word, &mine, 0)) {
        SYS(syscall(SYS_futex, &word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    }
}

int main(void)
{
    watchdog();
    if (!real_time_allowed()) {
        SKIP("no real-time policy here");
    }
    check_lending(lock, unlock);
    return 0;
}
