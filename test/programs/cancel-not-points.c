/*
 * Locks, barriers, once and what wakes others are no cancellation points: a pending cancellation, or
 * one that comes while the thread waits, changes nothing about them, and the waiting costs no CPU
 * time (POSIX 2.9.5).
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <threads.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_spinlock_t spin;
static sem_t sem, entered;
static atomic_int passed;

static void nothing(void)
{
}

static void *pending(void *argument)
{
    int value;
    sigset_t set;

    OK(pthread_cancel(pthread_self()));
    OK(pthread_mutex_lock(&mutex));
    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    OK(pthread_mutex_unlock(&mutex));
    OK(pthread_rwlock_rdlock(&rwlock));
    OK(pthread_rwlock_unlock(&rwlock));
    OK(pthread_rwlock_wrlock(&rwlock));
    OK(pthread_rwlock_unlock(&rwlock));
    OK(pthread_spin_lock(&spin));
    OK(pthread_spin_unlock(&spin));
    OK(pthread_cond_signal(&cond));
    OK(pthread_cond_broadcast(&cond));
    OK(pthread_once(&once, nothing));
    SYS(sem_post(&sem));
    SYS(sem_trywait(&sem));
    SYS(sem_getvalue(&sem, &value));
    sched_yield();
    thrd_yield();
    OK(pthread_sigmask(SIG_BLOCK, NULL, &set));
    SYS(sigpending(&set));
    OK(pthread_kill(pthread_self(), 0));
    CHECK_EQ(pthread_tryjoin_np(*(pthread_t *)argument, NULL), EBUSY);
    SYS(getppid());
    free(malloc(100));
    passed = 1;
    pthread_testcancel();
    return NULL;
}

static void *waits_for_mutex(void *argument)
{
    sem_post(&entered);
    OK(pthread_mutex_lock(&mutex));
    passed++;
    OK(pthread_mutex_unlock(&mutex));
    pthread_testcancel();
    return argument;
}

static void *waits_for_recursive(void *argument)
{
    sem_post(&entered);
    OK(pthread_mutex_lock(&recursive));
    passed++;
    OK(pthread_mutex_unlock(&recursive));
    pthread_testcancel();
    return argument;
}

static void *waits_for_read(void *argument)
{
    sem_post(&entered);
    OK(pthread_rwlock_rdlock(&rwlock));
    passed++;
    OK(pthread_rwlock_unlock(&rwlock));
    pthread_testcancel();
    return argument;
}

static void *waits_for_write(void *argument)
{
    sem_post(&entered);
    OK(pthread_rwlock_wrlock(&rwlock));
    passed++;
    OK(pthread_rwlock_unlock(&rwlock));
    pthread_testcancel();
    return argument;
}

static void *waits_at_barrier(void *argument)
{
    sem_post(&entered);
    pthread_barrier_wait(&barrier);
    passed++;
    pthread_testcancel();
    return argument;
}

static double cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
    void *(*bodies[])(void *) = { waits_for_mutex, waits_for_recursive, waits_for_read,
                                  waits_for_write, waits_at_barrier };
    enum { N = 5 };
    pthread_t threads[N], self = pthread_self(), thread;

    watchdog();
    SYS(sem_init(&sem, 0, 0));
    SYS(sem_init(&entered, 0, 0));
    OK(pthread_spin_init(&spin, 0));
    OK(pthread_barrier_init(&barrier, NULL, 2));
    thread = start(pending, &self);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    CHECK_EQ(passed, 1);

    passed = 0;
    OK(pthread_mutex_lock(&mutex));
    OK(pthread_mutex_lock(&recursive));
    OK(pthread_rwlock_wrlock(&rwlock));
    for (int i = 0; i < N; i++) {
        threads[i] = start(bodies[i], NULL);
        sem_wait(&entered);
    }
    nap(20);
    for (int i = 0; i < N; i++) {
        OK(pthread_cancel(threads[i]));
    }
    double before = cpu_time();
    nap(500);
    double used = cpu_time() - before;
    CHECK_EQ(passed, 0);
    CHECK(used < 0.25);
    OK(pthread_mutex_unlock(&mutex));
    OK(pthread_mutex_unlock(&recursive));
    OK(pthread_rwlock_unlock(&rwlock));
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < N; i++) {
        CHECK(finish(threads[i]) == PTHREAD_CANCELED);
    }
    CHECK_EQ(passed, N);
    return 0;
}
