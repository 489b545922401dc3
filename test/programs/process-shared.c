/*
 * A process-shared mutex, condition, semaphore, barrier and rwlock between threads of a parent
 * and of a forked child (POSIX PTHREAD_PROCESS_SHARED).
 */
#include "check.h"

#include <semaphore.h>
#include <sys/mman.h>

enum { THREADS = 4, ROUNDS = 100 };

static struct shared {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_barrier_t barrier;
    pthread_rwlock_t rwlock;
    sem_t sem;
    int turn, count, written, serial;
} * s;

static void *body(void *argument)
{
    int parity = *(int *)argument;

    for (int i = 0; i < ROUNDS; i++) {
        /* The two processes take turns. */
        OK(pthread_mutex_lock(&s->mutex));
        while (s->turn != parity) {
            OK(pthread_cond_wait(&s->cond, &s->mutex));
        }
        s->turn = !parity;
        s->count++;
        OK(pthread_cond_broadcast(&s->cond));
        OK(pthread_mutex_unlock(&s->mutex));
        SYS(sem_wait(&s->sem));
        OK(pthread_rwlock_wrlock(&s->rwlock));
        s->written++;
        OK(pthread_rwlock_unlock(&s->rwlock));
        SYS(sem_post(&s->sem));
    }
    if (pthread_barrier_wait(&s->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        __atomic_add_fetch(&s->serial, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void run(int parity)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(body, &parity);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
}

int main(void)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    pthread_barrierattr_t barrier;
    pthread_rwlockattr_t rwlock;

    watchdog();
    s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s != MAP_FAILED);
    OK(pthread_mutexattr_init(&mutex));
    OK(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
    OK(pthread_mutex_init(&s->mutex, &mutex));
    OK(pthread_condattr_init(&cond));
    OK(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED));
    OK(pthread_cond_init(&s->cond, &cond));
    OK(pthread_barrierattr_init(&barrier));
    OK(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED));
    OK(pthread_barrier_init(&s->barrier, &barrier, 2 * THREADS));
    OK(pthread_rwlockattr_init(&rwlock));
    OK(pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED));
    OK(pthread_rwlock_init(&s->rwlock, &rwlock));
    SYS(sem_init(&s->sem, 1, 2));

    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        run(1);
        _exit(0);
    }
    run(0);
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(s->count, 2 * THREADS * ROUNDS);
    CHECK_EQ(s->written, 2 * THREADS * ROUNDS);
    CHECK_EQ(s->serial, 1);
    return 0;
}
