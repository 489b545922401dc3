/*
 * Detached threads run to their end without a join, whether detached by attribute, by the creator
 * or by themselves, before or after the end (POSIX pthread_detach, PTHREAD_CREATE_DETACHED).
 */
#include "check.h"

#include <semaphore.h>

enum { ROUNDS = 300 };

static sem_t ended;

static void *body(void *argument)
{
    (void)argument;
    sem_post(&ended);
    return NULL;
}

static void *detaches_itself(void *argument)
{
    OK(pthread_detach(pthread_self()));
    return body(argument);
}

int main(void)
{
    pthread_attr_t detached;
    pthread_t thread;

    watchdog();
    SYS(sem_init(&ended, 0, 0));
    OK(pthread_attr_init(&detached));
    OK(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED));

    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_create(&thread, &detached, body, NULL));
        OK(pthread_create(&thread, NULL, body, NULL));
        OK(pthread_detach(thread));
        OK(pthread_create(&thread, NULL, detaches_itself, NULL));
    }
    for (int i = 0; i < ROUNDS * 3; i++) {
        SYS(sem_wait(&ended));
    }

    /* Detached when it has most likely ended already. */
    thread = start(body, NULL);
    SYS(sem_wait(&ended));
    nap(10);
    OK(pthread_detach(thread));

    CHECK_EQ(sem_trywait(&ended), -1);
    OK(pthread_attr_destroy(&detached));
    return 0;
}
