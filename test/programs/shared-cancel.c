/*
 * Threads that wait on a process-shared condition variable or semaphore can be cancelled: the mutex is held
 * again in the cleanup handler, no signal and no token is lost; a process-shared mutex is no cancellation
 * point (POSIX pthread_cancel).
 */
#include "check.h"

#include <semaphore.h>

enum { WAITERS = 8 };

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static sem_t sem;
static int waiting, cleaned, woken, tokens, go;

static void unlock(void *argument)
{
    (void)argument;
    cleaned++;
    OK(pthread_mutex_unlock(&mutex));
}

/* Every other thread has a name by which it may be told apart. */
static void name(void)
{
    static int threads;
    if (__atomic_add_fetch(&threads, 1, __ATOMIC_SEQ_CST) % 2) {
        OK(pthread_setname_np(pthread_self(), "bound-waiter"));
    }
}

static void *wait_cond(void *argument)
{
    name();
    OK(pthread_mutex_lock(&mutex));
    waiting++;
    pthread_cleanup_push(unlock, NULL);
    while (!go) {
        OK(pthread_cond_wait(&cond, &mutex));
    }
    woken++;
    pthread_cleanup_pop(0);
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void *wait_sem(void *argument)
{
    name();
    while (sem_wait(&sem) < 0) {
        CHECK_EQ(errno, EINTR);
    }
    __atomic_add_fetch(&tokens, 1, __ATOMIC_SEQ_CST);
    return argument;
}

static void *wait_mutex(void *argument)
{
    name();
    OK(pthread_mutex_lock(&mutex));
    OK(pthread_mutex_unlock(&mutex));
    __atomic_store_n((int *)argument, 1, __ATOMIC_SEQ_CST);
    pthread_testcancel();
    return NULL;
}

int main(void)
{
    pthread_t threads[WAITERS];
    pthread_mutexattr_t mutex_attr;
    pthread_condattr_t cond_attr;
    int got = 0, canceled = 0, value;

    watchdog();
    OK(pthread_mutexattr_init(&mutex_attr));
    OK(pthread_mutexattr_setpshared(&mutex_attr, 1));
    OK(pthread_mutex_init(&mutex, &mutex_attr));
    OK(pthread_condattr_init(&cond_attr));
    OK(pthread_condattr_setpshared(&cond_attr, 1));
    OK(pthread_cond_init(&cond, &cond_attr));
    SYS(sem_init(&sem, 1, 0));

    for (int i = 0; i < WAITERS; i++) {
        threads[i] = start(wait_cond, &cond);
    }
    for (int there = 0; there < WAITERS; nap(1)) {
        OK(pthread_mutex_lock(&mutex));
        there = waiting;
        OK(pthread_mutex_unlock(&mutex));
    }
    nap(10);
    for (int i = 0; i < WAITERS / 2; i++) {
        OK(pthread_cancel(threads[i]));
        CHECK(finish(threads[i]) == PTHREAD_CANCELED);
    }
    CHECK_EQ(cleaned, WAITERS / 2);
    OK(pthread_mutex_lock(&mutex));
    go = 1;
    for (int i = 0; i < WAITERS / 2; i++) {
        OK(pthread_cond_signal(&cond));
    }
    OK(pthread_mutex_unlock(&mutex));
    for (int i = WAITERS / 2; i < WAITERS; i++) {
        CHECK(finish(threads[i]) == &cond);
    }
    CHECK_EQ(woken, WAITERS / 2);

    /* Cancelled while tokens come. */
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = start(wait_sem, &sem);
    }
    nap(10);
    for (int i = 0; i < WAITERS; i++) {
        SYS(sem_post(&sem));
        OK(pthread_cancel(threads[WAITERS - 1 - i]));
    }
    for (int i = 0; i < WAITERS; i++) {
        void *result = finish(threads[i]);

        got += result == &sem;
        canceled += result == PTHREAD_CANCELED;
    }
    SYS(sem_getvalue(&sem, &value));
    CHECK_EQ(got + canceled, WAITERS);
    CHECK_EQ(value + tokens, WAITERS);

    int locked = 0;
    OK(pthread_mutex_lock(&mutex));
    threads[0] = start(wait_mutex, &locked);
    nap(10);
    OK(pthread_cancel(threads[0]));
    nap(10);
    CHECK_EQ(__atomic_load_n(&locked, __ATOMIC_SEQ_CST), 0);
    OK(pthread_mutex_unlock(&mutex));
    CHECK(finish(threads[0]) == PTHREAD_CANCELED);
    CHECK_EQ(locked, 1);
    OK(pthread_cond_destroy(&cond));
    return 0;
}
