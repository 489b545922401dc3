/*
 * SIGEV_THREAD: libc makes the thread that runs the function. It locks, signals, waits and joins with
 * the program's threads, has keys with destructors, and ends by pthread_exit.
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t posted, back;
static pthread_key_t key;
static int calls, served;
static atomic_int destroyed;

static void destroy(void *value)
{
    (void)value;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    atomic_fetch_add(&destroyed, 1);
}

static void *answer(void *argument)
{
    return argument;
}

static void expired(union sigval value)
{
    CHECK(value.sival_ptr == &cond);
    OK(pthread_setspecific(key, &key));
    CHECK(pthread_equal(pthread_self(), pthread_self()));
    /* A thread of the program's, made and joined by one of libc's. */
    CHECK(finish(start(answer, &key)) == &key);
    OK(pthread_mutex_lock(&mutex));
    int mine = ++calls;
    OK(pthread_cond_broadcast(&cond));
    while (served < mine) {
        OK(pthread_cond_wait(&cond, &mutex));
    }
    OK(pthread_mutex_unlock(&mutex));
    SYS(sem_post(&posted));
    while (sem_wait(&back) < 0) {
    }
    pthread_exit(NULL);
}

static void *server(void *argument)
{
    (void)argument;
    OK(pthread_mutex_lock(&mutex));
    while (served < 10) {
        while (served == calls) {
            OK(pthread_cond_wait(&cond, &mutex));
        }
        served++;
        OK(pthread_cond_broadcast(&cond));
        OK(pthread_mutex_unlock(&mutex));
        while (sem_wait(&posted) < 0) {
        }
        SYS(sem_post(&back));
        OK(pthread_mutex_lock(&mutex));
    }
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

int main(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = expired };
    struct itimerspec when = { { 0, 0 }, { 0, 2000000 } };
    timer_t timers[10];
    pthread_t thread;

    watchdog();
    event.sigev_value.sival_ptr = &cond;
    OK(pthread_key_create(&key, destroy));
    SYS(sem_init(&posted, 0, 0));
    SYS(sem_init(&back, 0, 0));
    thread = start(server, NULL);
    for (int i = 0; i < 10; i++) {
        SYS(timer_create(i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &event, &timers[i]));
        SYS(timer_settime(timers[i], 0, &when, NULL));
    }
    finish(thread);
    for (int i = 0; i < 10000 && atomic_load(&destroyed) < 10; i++) {
        nap(1);
    }
    CHECK_EQ(atomic_load(&destroyed), 10);
    for (int i = 0; i < 10; i++) {
        SYS(timer_delete(timers[i]));
    }
    return 0;
}
