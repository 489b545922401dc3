/*
 * A real-time thread that holds mutexes with ceilings runs at the highest of them, and a mutex whose
 * ceiling is below its own priority is refused (POSIX pthread_mutex_lock). Needs the right to have a
 * real-time policy.
 */
#include "check.h"

#include <sched.h>

static pthread_mutex_t mutex[2];

static int priority(void)
{
    struct sched_param param;

    SYS(sched_getparam(0, &param));
    return param.sched_priority;
}

int main(void)
{
    pthread_mutexattr_t attr;
    struct sched_param param = { .sched_priority = 5 };
    int old;

    watchdog();
    int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    if (error) {
        SKIP("no real-time policy here");
    }
    for (int i = 0; i < 2; i++) {
        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE));
        OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT));
        OK(pthread_mutexattr_setprioceiling(&attr, 10 + 10 * i));
        OK(pthread_mutex_init(&mutex[i], &attr));
    }
    CHECK_EQ(priority(), 5);
    OK(pthread_mutex_lock(&mutex[0]));
    CHECK_EQ(priority(), 10);
    OK(pthread_mutex_lock(&mutex[0]));
    OK(pthread_mutex_lock(&mutex[1]));
    CHECK_EQ(priority(), 20);
    OK(pthread_mutex_unlock(&mutex[0]));
    CHECK_EQ(priority(), 20);
    OK(pthread_mutex_setprioceiling(&mutex[1], 30, &old));
    CHECK_EQ(old, 20);
    CHECK_EQ(priority(), 30);
    OK(pthread_mutex_unlock(&mutex[1]));
    CHECK_EQ(priority(), 10);
    OK(pthread_mutex_unlock(&mutex[0]));
    CHECK_EQ(priority(), 5);
    CHECK_EQ(pthread_mutex_unlock(&mutex[0]), EPERM);
    OK(pthread_mutex_setprioceiling(&mutex[0], 4, &old));
    CHECK_EQ(pthread_mutex_lock(&mutex[0]), EINVAL);
    CHECK_EQ(priority(), 5);
    OK(pthread_mutex_destroy(&mutex[0]));
    OK(pthread_mutex_destroy(&mutex[1]));
    return 0;
}
