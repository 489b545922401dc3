/*
 * Whoever holds a mutex with priority inheritance runs at the priority of the highest that waits for it,
 * until it unlocks (POSIX, PTHREAD_PRIO_INHERIT). Needs the right to have a real-time policy.
 */
#include "check.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

static pthread_mutex_t mutex;

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
    OK(pthread_mutex_lock(&mutex));
    OK(pthread_mutex_unlock(&mutex));
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
    OK(pthread_mutex_lock(&mutex));
    int own = effective();
    a = start(waits, (void *)7L);
    until(7);
    b = start(waits, (void *)12L);
    until(12);
    OK(pthread_mutex_unlock(&mutex));
    CHECK_EQ(effective(), own);
    finish(a);
    finish(b);
    return NULL;
}

int main(void)
{
    pthread_mutexattr_t attr;
    struct sched_param param = { .sched_priority = 1 };

    watchdog();
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &param)) {
        SKIP("no real-time policy here");
    }
    param.sched_priority = 0;
    OK(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutex_init(&mutex, &attr));
    finish(start(holds, NULL));
    finish(start(holds, &mutex));
    holds(NULL);
    OK(pthread_mutex_destroy(&mutex));
    return 0;
}
