/*
 * Threads that have inherited a real-time policy run at the ceiling of the mutex that they hold, each for
 * itself, also while they wait (POSIX pthread_mutex_lock). Needs the right to have a real-time policy.
 */
#include "check.h"

#include <sched.h>

enum { THREADS = 4 };

static pthread_mutex_t mutex[THREADS];

static int priority(void)
{
    struct sched_param param;

    SYS(sched_getparam(0, &param));
    return param.sched_priority;
}

static void *holds(void *argument)
{
    long i = (long)argument;

    CHECK_EQ(priority(), 5);
    for (int round = 0; round < 3; round++) {
        OK(pthread_mutex_lock(&mutex[i]));
        CHECK_EQ(priority(), 10 + i);
        nap(2);
        CHECK_EQ(priority(), 10 + i);
        OK(pthread_mutex_unlock(&mutex[i]));
        CHECK_EQ(priority(), 5);
        nap(1);
        CHECK_EQ(priority(), 5);
    }
    return NULL;
}

static void *bystander(void *argument)
{
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(priority(), 5);
        nap(1);
    }
    return argument;
}

int main(void)
{
    pthread_mutexattr_t attr;
    struct sched_param param = { .sched_priority = 5 };
    pthread_t threads[2 * THREADS];

    watchdog();
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &param)) {
        SKIP("no real-time policy here");
    }
    for (int i = 0; i < THREADS; i++) {
        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT));
        OK(pthread_mutexattr_setprioceiling(&attr, 10 + i));
        OK(pthread_mutex_init(&mutex[i], &attr));
    }
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(holds, (void *)i);
        threads[THREADS + i] = start(bystander, NULL);
    }
    for (int i = 0; i < 2 * THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(priority(), 5);
    return 0;
}
