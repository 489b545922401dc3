/*
 * Threads of two kinds, half of them with a scheduling policy of their own, share every kind of lock
 * and wait.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#define THREADS 12
#define ROUNDS  1500

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static long by_mutex, by_rwlock, by_spin;
static atomic_int inside;
static int token;

static void *work(void *argument)
{
    int me = (int)(long)argument;
    struct sched_param param = { 0 };

    if (me % 2) {
        OK(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param));
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_mutex_lock(&mutex));
        by_mutex++;
        OK(pthread_mutex_unlock(&mutex));
        if (i % 8 == me % 8) {
            OK(pthread_rwlock_wrlock(&rwlock));
            by_rwlock++;
            OK(pthread_rwlock_unlock(&rwlock));
        } else {
            OK(pthread_rwlock_rdlock(&rwlock));
            OK(pthread_rwlock_unlock(&rwlock));
        }
        OK(pthread_spin_lock(&spin));
        by_spin++;
        OK(pthread_spin_unlock(&spin));
        while (sem_wait(&sem) < 0) {
        }
        CHECK(atomic_fetch_add(&inside, 1) < 3);
        atomic_fetch_sub(&inside, 1);
        SYS(sem_post(&sem));
        if (i % 300 == 0) {
            pthread_barrier_wait(&barrier);
        }
    }
    /* A token goes round all of them. */
    for (int i = 0; i < 100; i++) {
        OK(pthread_mutex_lock(&mutex));
        while (token % THREADS != me) {
            struct timespec t = from_now(CLOCK_REALTIME, 20000);

            OK(pthread_cond_timedwait(&cond, &mutex, &t));
        }
        token++;
        OK(pthread_cond_broadcast(&cond));
        OK(pthread_mutex_unlock(&mutex));
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    OK(pthread_spin_init(&spin, 0));
    OK(pthread_barrier_init(&barrier, NULL, THREADS));
    SYS(sem_init(&sem, 0, 3));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(work, (void *)i);
    }
    for (long i = 0; i < THREADS; i++) {
        CHECK_EQ((long)finish(threads[i]), i);
    }
    CHECK_EQ(by_mutex, THREADS * ROUNDS);
    CHECK_EQ(by_spin, THREADS * ROUNDS);
    CHECK(by_rwlock > 0);
    return 0;
}
