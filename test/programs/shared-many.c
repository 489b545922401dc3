/*
 * Hundreds of threads wait on process-shared objects at a time and all get through.
 */
#include "check.h"

#include <semaphore.h>

enum { THREADS = 240 };

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock;
static sem_t sem;
static int waiting, count, go;

static void *body(void *argument)
{
    long i = (long)argument;

    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    switch (i % 4) {
    case 0:
        while (sem_wait(&sem) < 0) {
            CHECK_EQ(errno, EINTR);
        }
        break;
    case 1:
        OK(pthread_mutex_lock(&mutex));
        while (!go) {
            OK(pthread_cond_wait(&cond, &mutex));
        }
        OK(pthread_mutex_unlock(&mutex));
        break;
    case 2:
        OK(pthread_rwlock_rdlock(&rwlock));
        OK(pthread_rwlock_unlock(&rwlock));
        break;
    case 3:
        OK(pthread_rwlock_wrlock(&rwlock));
        OK(pthread_rwlock_unlock(&rwlock));
    }
    pthread_barrier_wait(&barrier);
    OK(pthread_mutex_lock(&mutex));
    count++;
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

int main(void)
{
    static pthread_t threads[THREADS];
    pthread_mutexattr_t mutex_attr;
    pthread_condattr_t cond_attr;
    pthread_barrierattr_t barrier_attr;
    pthread_rwlockattr_t rwlock_attr;

    watchdog();
    OK(pthread_mutexattr_init(&mutex_attr));
    OK(pthread_mutexattr_setpshared(&mutex_attr, 1));
    OK(pthread_mutex_init(&mutex, &mutex_attr));
    OK(pthread_condattr_init(&cond_attr));
    OK(pthread_condattr_setpshared(&cond_attr, 1));
    OK(pthread_cond_init(&cond, &cond_attr));
    OK(pthread_barrierattr_init(&barrier_attr));
    OK(pthread_barrierattr_setpshared(&barrier_attr, 1));
    OK(pthread_barrier_init(&barrier, &barrier_attr, THREADS));
    OK(pthread_rwlockattr_init(&rwlock_attr));
    OK(pthread_rwlockattr_setpshared(&rwlock_attr, 1));
    OK(pthread_rwlock_init(&rwlock, &rwlock_attr));
    SYS(sem_init(&sem, 1, 0));
    OK(pthread_rwlock_wrlock(&rwlock));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)i);
    }
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < THREADS) {
        nap(1);
    }
    nap(20);
    OK(pthread_rwlock_unlock(&rwlock));
    for (int i = 0; i < THREADS / 4; i++) {
        SYS(sem_post(&sem));
    }
    OK(pthread_mutex_lock(&mutex));
    go = 1;
    OK(pthread_cond_broadcast(&cond));
    OK(pthread_mutex_unlock(&mutex));
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(count, THREADS);
    OK(pthread_barrier_destroy(&barrier));
    OK(pthread_cond_destroy(&cond));
    return 0;
}
