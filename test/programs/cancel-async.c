/*
 * With the asynchronous type a thread is cancelled wherever it is: in a loop without calls, in one
 * that calls what is no cancellation point, and after it waited for its turn or for a lock while the
 * request came (pthread_setcanceltype(3)).
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

static sem_t ready, none;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int cleaned;
static volatile unsigned long counter;

static void clean(void *argument)
{
    (void)argument;
    cleaned++;
}

static void *body(void *argument)
{
    int old;

    pthread_cleanup_push(clean, NULL);
    OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
    CHECK_EQ(old, PTHREAD_CANCEL_DEFERRED);
    sem_post(&ready);
    switch (*(int *)argument) {
    case 0:
        for (;;) {
            counter++;
        }
    case 1:
        for (;;) {
            sched_yield();
        }
    case 2:
        for (;;) {
            sem_trywait(&none);
        }
    case 3:
        for (;;) {
            getppid();
        }
    case 4:
        /* The request comes while it waits; glibc's lock ends too, or the loop after it does. */
        pthread_mutex_lock(&lock);
        for (;;) {
            counter++;
        }
    case 5:
        for (;;) {
            usleep(1);
        }
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *pending(void *argument)
{
    pthread_cleanup_push(clean, NULL);
    OK(pthread_cancel(pthread_self()));
    OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL)); /* does not return */
    for (;;) {
        counter++;
    }
    pthread_cleanup_pop(0);
    return argument;
}

static void *self_cancel(void *argument)
{
    pthread_cleanup_push(clean, NULL);
    OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    pthread_cancel(pthread_self()); /* does not return */
    for (;;) {
        counter++;
    }
    pthread_cleanup_pop(0);
    return argument;
}

int main(void)
{
    int runs = 0;

    watchdog();
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&none, 0, 0));
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 6; i++) {
            if (i == 4) {
                OK(pthread_mutex_init(&lock, NULL));
                OK(pthread_mutex_lock(&lock));
            }
            pthread_t thread = start(body, &i);

            sem_wait(&ready);
            nap(round % 3);
            OK(pthread_cancel(thread));
            if (i == 4) {
                OK(pthread_mutex_unlock(&lock));
            }
            CHECK(finish(thread) == PTHREAD_CANCELED);
            CHECK_EQ(cleaned, ++runs);
        }
    }
    CHECK(finish(start(pending, NULL)) == PTHREAD_CANCELED);
    CHECK(finish(start(self_cancel, NULL)) == PTHREAD_CANCELED);
    CHECK_EQ(cleaned, runs + 2);
    return 0;
}
