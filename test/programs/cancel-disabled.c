/*
 * While cancellation is disabled a request stays pending through blocking calls and acts at the
 * first point after it is enabled; asynchronous cancellation ends a loop without any call
 * (POSIX pthread_setcancelstate, pthread_setcanceltype).
 */
#include "check.h"

#include <semaphore.h>
#include <stdatomic.h>

static sem_t ready, go;
static atomic_int stage;
static volatile int spinning = 1;

static void *disabled(void *argument)
{
    int old;

    OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old));
    CHECK_EQ(old, PTHREAD_CANCEL_ENABLE);
    sem_post(&ready);
    CHECK_EQ(sem_wait(&go), 0);
    CHECK_EQ(usleep(1000), 0);
    pthread_testcancel();
    stage = 1;
    OK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old));
    CHECK_EQ(old, PTHREAD_CANCEL_DISABLE);
    stage = 2;
    pthread_testcancel();
    stage = 3;
    return argument;
}

static void *asynchronous(void *argument)
{
    int old;

    OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
    CHECK_EQ(old, PTHREAD_CANCEL_DEFERRED);
    sem_post(&ready);
    while (spinning) {
    }
    return argument;
}

static void *waits(void *argument)
{
    sem_wait(&go);
    return argument;
}

int main(void)
{
    watchdog();
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));

    CHECK_EQ(pthread_setcancelstate(99, NULL), EINVAL);
    CHECK_EQ(pthread_setcanceltype(99, NULL), EINVAL);

    pthread_t thread = start(disabled, &ready);
    sem_wait(&ready);
    OK(pthread_cancel(thread));
    sem_post(&go);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    CHECK_EQ(stage, 2);

    thread = start(asynchronous, &ready);
    sem_wait(&ready);
    OK(pthread_cancel(thread));
    CHECK(finish(thread) == PTHREAD_CANCELED);

    /* A wake-up that came before the cancellation is not lost for the others. */
    pthread_t threads[10];
    for (int i = 0; i < 10; i++) {
        threads[i] = start(waits, &stage);
    }
    OK(pthread_cancel(threads[0]));
    CHECK(finish(threads[0]) == PTHREAD_CANCELED);
    for (int i = 1; i < 10; i++) {
        sem_post(&go);
    }
    for (int i = 1; i < 10; i++) {
        CHECK(finish(threads[i]) == &stage);
    }
    return 0;
}
