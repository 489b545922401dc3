/*
 * pthread_tryjoin_np, pthread_timedjoin_np and pthread_clockjoin_np: EBUSY and ETIMEDOUT while
 * the thread lives, never early, and the thread stays joinable (pthread_tryjoin_np(3)).
 */
#include "check.h"

#include <semaphore.h>

static sem_t go;

static void *waits(void *argument)
{
    sem_wait(&go);
    return argument;
}

static void *short_nap(void *argument)
{
    nap(30);
    return argument;
}

int main(void)
{
    struct timespec t;
    void *value = NULL;
    int error;

    watchdog();
    SYS(sem_init(&go, 0, 0));
    pthread_t thread = start(waits, &t);

    CHECK_EQ(pthread_tryjoin_np(thread, &value), EBUSY);
    t = from_now(CLOCK_REALTIME, 20);
    CHECK_EQ(pthread_timedjoin_np(thread, &value, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(pthread_clockjoin_np(thread, &value, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    /* A deadline that has passed. */
    CHECK_EQ(pthread_clockjoin_np(thread, &value, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(value == NULL);

    sem_post(&go);
    while ((error = pthread_tryjoin_np(thread, &value)) == EBUSY) {
        nap(1);
    }
    OK(error);
    CHECK(value == &t);

    t = from_now(CLOCK_REALTIME, 30000);
    OK(pthread_timedjoin_np(start(short_nap, &go), &value, &t));
    CHECK(value == &go);
    t = from_now(CLOCK_MONOTONIC, 30000);
    OK(pthread_clockjoin_np(start(short_nap, &t), &value, CLOCK_MONOTONIC, &t));
    CHECK(value == &t);
    /* No deadline at all means an ordinary join. */
    OK(pthread_timedjoin_np(start(short_nap, &go), &value, NULL));
    CHECK(value == &go);
    return 0;
}
