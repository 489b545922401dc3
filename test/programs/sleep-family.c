/*
 * nanosleep, usleep, sleep, clock_nanosleep (relative and absolute, three clocks) and thrd_sleep
 * never return early, and answer nonsense with EINVAL (POSIX nanosleep, clock_nanosleep).
 */
#include "check.h"

#include <threads.h>

static void sleep_once(int how)
{
    clockid_t clock = how == 5 ? CLOCK_REALTIME : how == 6 ? CLOCK_BOOTTIME : CLOCK_MONOTONIC;
    struct timespec end = from_now(clock, how == 2 ? 1000 : 30);
    struct timespec t = { 0, 30000000 };

    switch (how) {
    case 0:
        SYS(nanosleep(&t, NULL));
        break;
    case 1:
        SYS(usleep(30000));
        break;
    case 2:
        CHECK_EQ(sleep(1), 0);
        break;
    case 3:
        OK(clock_nanosleep(clock, 0, &t, NULL));
        break;
    case 4:
    case 5:
    case 6:
        OK(clock_nanosleep(clock, TIMER_ABSTIME, &end, NULL));
        break;
    case 7:
        CHECK_EQ(thrd_sleep(&t, NULL), 0);
        break;
    }
    CHECK(reached(clock, end));
}

static void *body(void *argument)
{
    int how = *(int *)argument;

    sleep_once(how);
    sleep_once(how == 2 ? 0 : how);
    return NULL;
}

static void *nonsense(void *argument)
{
    struct timespec t = { 0, 1000000000 }, past = { 0, 0 };

    FAILS(nanosleep(&t, NULL), EINVAL);
    t.tv_nsec = -1;
    FAILS(nanosleep(&t, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL), EINVAL);
    CHECK(clock_nanosleep(12345, 0, &past, NULL) == EINVAL);
    OK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
    OK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL));
    SYS(nanosleep(&past, NULL));
    SYS(usleep(0));
    CHECK_EQ(sleep(0), 0);
    return argument;
}

int main(void)
{
    pthread_t threads[80];
    int how[80];

    watchdog();
    for (int i = 0; i < 80; i++) {
        /* sleep() counts in seconds: one thread in twenty is enough. */
        how[i] = i % 8 == 2 && i > 20 ? 1 : i % 8;
        threads[i] = start(body, &how[i]);
    }
    finish(start(nonsense, NULL));
    for (int i = 0; i < 80; i++) {
        finish(threads[i]);
    }
    nonsense(NULL);
    return 0;
}
