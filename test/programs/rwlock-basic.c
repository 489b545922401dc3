/*
 * Reader-writer locks: readers are inside together, a writer alone; try variants answer EBUSY; a
 * write lock taken twice is EDEADLK in glibc (POSIX pthread_rwlock_rdlock).
 */
#include "check.h"

#include <sched.h>

enum { READERS = 20, WRITERS = 5, ROUNDS = 200 };

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t together;
static int a, b, writers, readers;

static void *reads_together(void *argument)
{
    OK(pthread_rwlock_rdlock(&lock));
    /* Opens only when all are inside at the same time. */
    pthread_barrier_wait(&together);
    OK(pthread_rwlock_unlock(&lock));
    return argument;
}

static void *reader(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_rwlock_rdlock(&lock));
        __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(__atomic_load_n(&writers, __ATOMIC_SEQ_CST), 0);
        CHECK_EQ(a, b);
        if (i % 8 == 0) {
            sched_yield();
        }
        __atomic_sub_fetch(&readers, 1, __ATOMIC_SEQ_CST);
        OK(pthread_rwlock_unlock(&lock));
    }
    return argument;
}

static void *writer(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_rwlock_wrlock(&lock));
        CHECK_EQ(__atomic_add_fetch(&writers, 1, __ATOMIC_SEQ_CST), 1);
        CHECK_EQ(__atomic_load_n(&readers, __ATOMIC_SEQ_CST), 0);
        a++;
        if (i % 8 == 0) {
            sched_yield();
        }
        b++;
        __atomic_sub_fetch(&writers, 1, __ATOMIC_SEQ_CST);
        OK(pthread_rwlock_unlock(&lock));
    }
    return argument;
}

static void *tries(void *argument)
{
    int may_read = *(int *)argument;

    CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_tryrdlock(&lock), may_read ? 0 : EBUSY);
    if (may_read) {
        OK(pthread_rwlock_unlock(&lock));
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[READERS + WRITERS];

    watchdog();
    OK(pthread_barrier_init(&together, NULL, READERS));
    run_threads(READERS, reads_together);
    for (int i = 0; i < READERS + WRITERS; i++) {
        threads[i] = start(i % 5 == 4 ? writer : reader, NULL);
    }
    for (int i = 0; i < READERS + WRITERS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(a, WRITERS * ROUNDS);
    CHECK_EQ(b, WRITERS * ROUNDS);

    OK(pthread_rwlock_rdlock(&lock));
    OK(pthread_rwlock_rdlock(&lock));
    finish(start(tries, &(int){ 1 }));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_trywrlock(&lock));
    finish(start(tries, &(int){ 0 }));
    CHECK_EQ(pthread_rwlock_wrlock(&lock), EDEADLK);
    CHECK_EQ(pthread_rwlock_rdlock(&lock), EDEADLK);
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_destroy(&lock));
    return 0;
}
