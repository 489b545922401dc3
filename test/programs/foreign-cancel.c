/*
 * Threads that the C library makes for notifications (SIGEV_THREAD) are threads like any other: they are
 * cancelled in every kind of wait and with the asynchronous type, and a robust mutex that one holds when it
 * ends goes to the next with EOWNERDEAD, after its destructors, which may still unlock it.
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

enum { SEM, COND, JOIN, READ, ASYNC, ROBUST, UNLOCKED_LATE, KINDS };

static sem_t inside, never, done;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, robust;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static pthread_t foreign, sleeper;
static atomic_int cleaned, unlocked;
static int kind, pipe_ends[2];

static void clean(void *argument)
{
    (void)argument;
    cleaned++;
    if (kind == COND) {
        OK(pthread_mutex_unlock(&mutex));
    }
    sem_post(&done);
}

static void destructor(void *value)
{
    if ((long)value < 3) {
        OK(pthread_setspecific(key, (void *)((long)value + 1)));
    } else {
        unlocked = 1;
        OK(pthread_mutex_unlock(&robust));
    }
}

static void notified(union sigval value)
{
    char c;
    (void)value;
    foreign = pthread_self();
    OK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL));
    if (kind >= ROBUST) {
        OK(pthread_mutex_lock(&robust));
        if (kind == UNLOCKED_LATE) {
            OK(pthread_setspecific(key, (void *)1L));
        }
        sem_post(&inside);
        return;
    }
    if (kind == COND) {
        OK(pthread_mutex_lock(&mutex));
    }
    pthread_cleanup_push(clean, NULL);
    sem_post(&inside);
    switch (kind) {
    case SEM:
        sem_wait(&never);
        break;
    case COND:
        pthread_cond_wait(&cond, &mutex);
        break;
    case JOIN:
        pthread_join(sleeper, NULL);
        break;
    case READ:
        read_all(pipe_ends[0], &c, 1);
        break;
    case ASYNC:
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
        for (;;) {
            sem_trywait(&never);
        }
    }
    CHECK(0);
    pthread_cleanup_pop(0);
}

static void *sleeps(void *argument)
{
    sem_wait(&never);
    return argument;
}

int main(void)
{
    pthread_mutexattr_t attr;
    struct itimerspec soon = { .it_value = { 0, 100000 } };

    watchdog();
    SYS(sem_init(&inside, 0, 0));
    SYS(sem_init(&never, 0, 0));
    SYS(sem_init(&done, 0, 0));
    SYS(pipe(pipe_ends));
    OK(pthread_key_create(&key, destructor));
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutex_init(&robust, &attr));
    sleeper = start(sleeps, NULL);
    for (int round = 0; round < 20; round++) {
        for (kind = 0; kind < KINDS; kind++) {
            struct sigevent event = { .sigev_notify = SIGEV_THREAD,
                                      .sigev_notify_function = notified };
            timer_t timer;
            int err;

            cleaned = unlocked = 0;
            SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
            SYS(timer_settime(timer, 0, &soon, NULL));
            sem_wait(&inside);
            if (round % 2) {
                nap(1);
            }
            if (kind < ROBUST) {
                OK(pthread_cancel(foreign));
                sem_wait(&done);
                CHECK_EQ(cleaned, 1);
            } else {
                while ((err = pthread_mutex_trylock(&robust)) == EBUSY) {
                    nap(1);
                }
                CHECK_EQ(err, kind == ROBUST ? EOWNERDEAD : 0);
                CHECK_EQ(unlocked, kind == UNLOCKED_LATE);
                if (err) {
                    OK(pthread_mutex_consistent(&robust));
                }
                OK(pthread_mutex_unlock(&robust));
            }
            SYS(timer_delete(timer));
        }
    }
    return 0;
}
