/*
 * nice is per thread on Linux: what a thread sets is its own, its children's, and nobody else's.
 */
#include "check.h"

#include <sys/syscall.h>

static int base;

static void *child(void *argument)
{
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), *(int *)argument);
    return NULL;
}

static void *nicer(void *argument)
{
    int now = base + 3;

    (void)argument;
    SYS(setpriority(PRIO_PROCESS, (id_t)gettid(), now));
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), now);
        nap(1);
    }
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)gettid()), now);
    finish(start(child, &now));
    errno = 0;
    now = nice(1);
    CHECK_EQ(now, base + 4);
    CHECK_EQ(20 - syscall(SYS_getpriority, PRIO_PROCESS, 0), base + 4);
    finish(start(child, &now));
    return NULL;
}

int main(void)
{
    pthread_t threads[3];

    watchdog();
    base = getpriority(PRIO_PROCESS, 0);
    if (base > 14) {
        SKIP("started with a nice value that leaves no room");
    }
    for (int i = 0; i < 3; i++) {
        threads[i] = start(nicer, NULL);
        finish(start(child, &base));
    }
    for (int i = 0; i < 3; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), base);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)getpid()), base);
    FAILS(setpriority(PRIO_PROCESS, 0x1ffffff0, 1), ESRCH);
    return 0;
}
