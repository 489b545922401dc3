/*
 * Scheduling policy and priority are a thread's own and can be read back: set on oneself, on another
 * thread by pthread_t and by tid, at creation, and inherited.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>

static sem_t ready, go;
static pid_t tid;

static void expect(pthread_t thread, int policy, int priority)
{
    struct sched_param param = { .sched_priority = -1 };
    int now = -1;

    OK(pthread_getschedparam(thread, &now, &param));
    CHECK_EQ(now, policy);
    CHECK_EQ(param.sched_priority, priority);
}

static void *inherits(void *argument)
{
    expect(pthread_self(), *(int *)argument, 0);
    CHECK_EQ(sched_getscheduler(0), *(int *)argument);
    return NULL;
}

static void *batch(void *argument)
{
    struct sched_param param = { 0 };
    int policy = SCHED_BATCH;

    (void)argument;
    expect(pthread_self(), SCHED_OTHER, 0);
    OK(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param));
    expect(pthread_self(), SCHED_BATCH, 0);
    CHECK_EQ(sched_getscheduler(gettid()), SCHED_BATCH);
    finish(start(inherits, &policy));
    return NULL;
}

static void *waits(void *argument)
{
    (void)argument;
    tid = gettid();
    sem_post(&ready);
    while (sem_wait(&go) < 0) {
    }
    CHECK_EQ(sched_getscheduler(0), SCHED_IDLE);
    return NULL;
}

int main(void)
{
    struct sched_param param = { 0 }, high = { .sched_priority = 3 };
    pthread_attr_t attr;
    pthread_t thread;
    int other = SCHED_OTHER, err;

    watchdog();
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    finish(start(batch, NULL));
    expect(pthread_self(), SCHED_OTHER, 0);
    finish(start(inherits, &other));

    thread = start(waits, NULL);
    while (sem_wait(&ready) < 0) {
    }
    SYS(sched_setscheduler(tid, SCHED_IDLE, &param));
    CHECK_EQ(sched_getscheduler(tid), SCHED_IDLE);
    sem_post(&go);
    finish(thread);

    CHECK_EQ(pthread_setschedparam(pthread_self(), SCHED_OTHER, &high), EINVAL);
    CHECK_EQ(pthread_setschedparam(pthread_self(), 12345, &param), EINVAL);
    CHECK_EQ(pthread_setschedprio(pthread_self(), 5), EINVAL);
    OK(pthread_setschedprio(pthread_self(), 0));
    OK(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    FAILS(sched_getscheduler(0x1ffffff0), ESRCH);

    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    OK(pthread_create(&thread, &attr, inherits, &other));
    finish(thread);
    OK(pthread_attr_setschedpolicy(&attr, SCHED_FIFO));
    OK(pthread_attr_setschedparam(&attr, &high));
    err = pthread_create(&thread, &attr, waits, NULL);
    if (err == 0) {
        while (sem_wait(&ready) < 0) {
        }
        expect(thread, SCHED_FIFO, 3);
        OK(pthread_setschedprio(thread, 4));
        expect(thread, SCHED_FIFO, 4);
        OK(pthread_setschedparam(thread, SCHED_IDLE, &param));
        sem_post(&go);
        finish(thread);
    } else {
        CHECK_EQ(err, EPERM);
    }
    return 0;
}
