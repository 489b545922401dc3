/*
 * Process-shared read-write locks of the three kinds between two processes, of which the second has
 * nothing preloaded: exclusion, deadlines of readers and writers, EDEADLK
 * (POSIX pthread_rwlockattr_setpshared).
 */
#include "check.h"

#include "peer.h"

/*
 * Writers' deadlines are out of reach where writers hand the lock to each other: in glibc (2.36) a writer
 * that gives up hands over too, and who gets it then does not wait until the last reader has left
 * completely. Rarely readers sleep for ever after it.
 */
enum { THREADS = 8, ROUNDS = 800, NEVER_MS = 600000 };

static const int kinds[] = { PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP,
                             PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP };

static struct shared {
    pthread_rwlock_t lock[3];
    int readers[3], writers[3];
    long written[3];
    struct contest contest;
} * s;

static void *body(void *argument)
{
    unsigned seed = (unsigned)(getpid() * 31 + (long)argument);

    for (int i = 0; i < ROUNDS; i++) {
        int k = rand_r(&seed) % 3, how = rand_r(&seed) % 8, error;
        int far = how < 3 && kinds[k] != PTHREAD_RWLOCK_PREFER_READER_NP;
        struct timespec t = from_now(CLOCK_MONOTONIC, far ? NEVER_MS : rand_r(&seed) % 3);

        if (how < 3) {
            error = how == 0   ? pthread_rwlock_wrlock(&s->lock[k])
                    : how == 1 ? pthread_rwlock_trywrlock(&s->lock[k])
                               : pthread_rwlock_clockwrlock(&s->lock[k], CLOCK_MONOTONIC, &t);
            if (error) {
                CHECK_EQ(error, how == 1 ? EBUSY : ETIMEDOUT);
                continue;
            }
            CHECK_EQ(__atomic_add_fetch(&s->writers[k], 1, __ATOMIC_SEQ_CST), 1);
            CHECK_EQ(__atomic_load_n(&s->readers[k], __ATOMIC_SEQ_CST), 0);
            s->written[k]++;
            if (i % 32 == 0) {
                sched_yield();
            }
            CHECK_EQ(pthread_rwlock_rdlock(&s->lock[k]), EDEADLK);
            __atomic_sub_fetch(&s->writers[k], 1, __ATOMIC_SEQ_CST);
        } else {
            error = how == 3   ? pthread_rwlock_tryrdlock(&s->lock[k])
                    : how == 4 ? pthread_rwlock_clockrdlock(&s->lock[k], CLOCK_MONOTONIC, &t)
                               : pthread_rwlock_rdlock(&s->lock[k]);
            if (error) {
                CHECK_EQ(error, how == 3 ? EBUSY : ETIMEDOUT);
                continue;
            }
            __atomic_add_fetch(&s->readers[k], 1, __ATOMIC_SEQ_CST);
            CHECK_EQ(__atomic_load_n(&s->writers[k], __ATOMIC_SEQ_CST), 0);
            if (i % 32 == 0) {
                sched_yield();
            }
            __atomic_sub_fetch(&s->readers[k], 1, __ATOMIC_SEQ_CST);
        }
        OK(pthread_rwlock_unlock(&s->lock[k]));
    }
    return NULL;
}

/* The other process holds 0 for writing and 1 for reading. */
static void *knock(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 20);

    CHECK_EQ(pthread_rwlock_timedrdlock(&s->lock[0], &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    CHECK_EQ(pthread_rwlock_tryrdlock(&s->lock[0]), EBUSY);
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(pthread_rwlock_clockwrlock(&s->lock[1], CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    OK(pthread_rwlock_rdlock(&s->lock[1]));
    OK(pthread_rwlock_unlock(&s->lock[1]));
    return argument;
}

static void hold(void)
{
    OK(pthread_rwlock_wrlock(&s->lock[0]));
    OK(pthread_rwlock_rdlock(&s->lock[1]));
}

static void release(void)
{
    OK(pthread_rwlock_unlock(&s->lock[0]));
    OK(pthread_rwlock_unlock(&s->lock[1]));
}

int main(int argc, char **argv)
{
    (void)argv;
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        contest_work(&s->contest, THREADS, body);
        contest_second(&s->contest, hold, release, knock);
        return 0;
    }
    s = make_shared_memory();
    for (int k = 0; k < 3; k++) {
        pthread_rwlockattr_t attr;

        OK(pthread_rwlockattr_init(&attr));
        OK(pthread_rwlockattr_setkind_np(&attr, kinds[k]));
        OK(pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
        OK(pthread_rwlock_init(&s->lock[k], &attr));
    }
    pid_t child = peer("peer");
    contest_work(&s->contest, THREADS, body);
    contest_first(&s->contest, child, hold, release, knock);
    for (int k = 0; k < 3; k++) {
        OK(pthread_rwlock_wrlock(&s->lock[k]));
        OK(pthread_rwlock_unlock(&s->lock[k]));
        OK(pthread_rwlock_destroy(&s->lock[k]));
    }
    return 0;
}
