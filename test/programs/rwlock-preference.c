/*
 * PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP: a waiting writer keeps new readers out and goes
 * first; with the default kind a reader still gets in (pthread_rwlockattr_setkind_np(3)).
 */
#include "check.h"

#include <stdatomic.h>

static pthread_rwlock_t lock;
static atomic_int order, writer_was, reader_was;

static void *writer(void *argument)
{
    OK(pthread_rwlock_wrlock(&lock));
    writer_was = ++order;
    OK(pthread_rwlock_unlock(&lock));
    return argument;
}

static void *reader(void *argument)
{
    OK(pthread_rwlock_rdlock(&lock));
    reader_was = ++order;
    OK(pthread_rwlock_unlock(&lock));
    return argument;
}

int main(void)
{
    pthread_rwlockattr_t attr;
    int kind;

    watchdog();
    OK(pthread_rwlockattr_init(&attr));
    OK(pthread_rwlockattr_getkind_np(&attr, &kind));
    CHECK_EQ(kind, PTHREAD_RWLOCK_PREFER_READER_NP);
    CHECK_EQ(pthread_rwlockattr_setkind_np(&attr, 99), EINVAL);

    /* The default kind: main reads, a writer waits, main and others may read all the same. */
    OK(pthread_rwlock_init(&lock, &attr));
    OK(pthread_rwlock_rdlock(&lock));
    pthread_t w = start(writer, NULL);
    nap(20);
    OK(pthread_rwlock_rdlock(&lock));
    finish(start(reader, NULL));
    CHECK_EQ(reader_was, 1);
    OK(pthread_rwlock_unlock(&lock));
    OK(pthread_rwlock_unlock(&lock));
    finish(w);
    CHECK_EQ(writer_was, 2);
    OK(pthread_rwlock_destroy(&lock));

    OK(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
    OK(pthread_rwlock_init(&lock, &attr));
    for (int i = 0; i < 10; i++) {
        order = 0;
        OK(pthread_rwlock_rdlock(&lock));
        w = start(writer, NULL);
        /* The writer waits for certain once a reader can no longer get in. */
        while (pthread_rwlock_tryrdlock(&lock) == 0) {
            OK(pthread_rwlock_unlock(&lock));
            nap(1);
        }
        pthread_t r = start(reader, NULL);
        nap(2);
        CHECK_EQ(order, 0);
        OK(pthread_rwlock_unlock(&lock));
        finish(w);
        finish(r);
        CHECK_EQ(writer_was, 1);
        CHECK_EQ(reader_was, 2);
    }
    OK(pthread_rwlock_destroy(&lock));
    return 0;
}
