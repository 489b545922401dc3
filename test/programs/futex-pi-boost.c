/*
 * Whoever holds a lock made by hand from FUTEX_LOCK_PI runs at the priority of the highest that waits for it,
 * until it unlocks (futex(2)). Needs the right to have a real-time policy.
 */
#include "check.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
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

/* What the scheduler goes by, as /proc shows it: -1 - priority for real-time threads. */
static int effective(void)
{
    char text[512];
    int fd = SYS(open("/proc/thread-self/stat", O_RDONLY));
    long n = SYS(read(fd, text, sizeof text - 1));

    SYS(close(fd));
    text[n] = 0;
    char *field = strrchr(text, ')') + 1; /* the second ends here, the 18th is meant */
    for (int i = 3; i <= 18; i++) {
        field = strchr(field, ' ') + 1;
    }
    return -1 - atoi(field);
}

static void *waits(void *argument)
{
    struct sched_param param = { .sched_priority = (int)(long)argument };

    OK(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param));
    lock();
    unlock();
    return NULL;
}

static void until(int priority)
{
    int seen = effective();

    for (int i = 0; i < 5000 && seen != priority; i++) {
        nap(1);
        seen = effective();
    }
    CHECK_EQ(seen, priority);
}

/* This one may be of any kind; it gets what it has not. */
static void *holds(void *argument)
{
    struct sched_param param = { .sched_priority = 3 };
    pthread_t a, b;

    if (argument) {
        OK(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param));
    }
    lock();
    int own = effective();
    a = start(waits, (void *)7L);
    until(7);
    b = start(waits, (void *)12L);
    until(12);
    unlock();
    CHECK_EQ(effective(), own);
    finish(a);
    finish(b);
    return NULL;
}

int main(void)
{
    struct sched_param param = { .sched_priority = 1 };

    watchdog();
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &param)) {
        SKIP("no real-time policy here");
    }
    param.sched_priority = 0;
    OK(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    finish(start(holds, NULL));
    finish(start(holds, &word));
    holds(NULL);
    return 0;
}
