/*
 * Unnamed semaphores: a value used up before any thread exists, many waiters and posters, try,
 * getvalue, EINVAL and EOVERFLOW (POSIX sem_wait, sem_post).
 */
#include "check.h"

#include <limits.h>
#include <semaphore.h>

enum { THREADS = 20, ROUNDS = 500 };

static sem_t sem, items, room;
static int inside, most;

static void *user(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        SYS(sem_wait(&sem));
        int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        CHECK(now <= 3);
        if (now > most) {
            most = now;
        }
        if (i % 50 == 0) {
            usleep(1);
        }
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        SYS(sem_post(&sem));
    }
    return argument;
}

static void *consumer(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        SYS(sem_wait(&items));
        SYS(sem_post(&room));
    }
    return argument;
}

static void *producer(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        SYS(sem_wait(&room));
        SYS(sem_post(&items));
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];
    int value;

    watchdog();
    FAILS(sem_init(&sem, 0, (unsigned)SEM_VALUE_MAX + 1), EINVAL);
    SYS(sem_init(&sem, 0, 2));
    SYS(sem_wait(&sem));
    SYS(sem_trywait(&sem));
    FAILS(sem_trywait(&sem), EAGAIN);
    SYS(sem_getvalue(&sem, &value));
    CHECK_EQ(value, 0);
    SYS(sem_post(&sem));
    SYS(sem_post(&sem));
    SYS(sem_post(&sem));
    SYS(sem_getvalue(&sem, &value));
    CHECK_EQ(value, 3);

    run_threads(THREADS, user);
    SYS(sem_getvalue(&sem, &value));
    CHECK_EQ(value, 3);

    SYS(sem_init(&items, 0, 0));
    SYS(sem_init(&room, 0, 4));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(i % 2 ? consumer : producer, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    SYS(sem_getvalue(&room, &value));
    CHECK_EQ(value, 4);

    SYS(sem_init(&items, 0, SEM_VALUE_MAX));
    FAILS(sem_post(&items), EOVERFLOW);
    SYS(sem_destroy(&items));
    return 0;
}
