/*
 * A process-shared mutex of each type between threads of two processes, of which the second has
 * nothing preloaded (POSIX pthread_mutexattr_setpshared).
 */
#include "check.h"

#include "peer.h"

#ifndef PROTOCOL
#define PROTOCOL PTHREAD_PRIO_NONE
#endif

enum { THREADS = 6, ROUNDS = 3000 };

static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                             PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP };

static struct shared {
    pthread_mutex_t mutex[4];
    long count[4];
    struct contest contest;
} * s;

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        int k = i % 4;

        OK(pthread_mutex_lock(&s->mutex[k]));
        if (types[k] == PTHREAD_MUTEX_RECURSIVE) {
            OK(pthread_mutex_lock(&s->mutex[k]));
        } else if (types[k] == PTHREAD_MUTEX_ERRORCHECK) {
            CHECK_EQ(pthread_mutex_lock(&s->mutex[k]), EDEADLK);
        }
        long seen = s->count[k];
        if (i % 64 == 0) {
            sched_yield();
        }
        s->count[k] = seen + 1;
        if (types[k] == PTHREAD_MUTEX_RECURSIVE) {
            OK(pthread_mutex_unlock(&s->mutex[k]));
        }
        OK(pthread_mutex_unlock(&s->mutex[k]));
    }
    return argument;
}

/* The mutexes are held by the other process. */
static void *knock(void *argument)
{
    for (int k = 0; k < 4; k++) {
        struct timespec t = from_now(CLOCK_MONOTONIC, 20);

        CHECK_EQ(pthread_mutex_trylock(&s->mutex[k]), EBUSY);
        CHECK_EQ(pthread_mutex_clocklock(&s->mutex[k], CLOCK_MONOTONIC, &t), ETIMEDOUT);
        CHECK(reached(CLOCK_MONOTONIC, t));
        t = from_now(CLOCK_REALTIME, 20);
        CHECK_EQ(pthread_mutex_timedlock(&s->mutex[k], &t), ETIMEDOUT);
        if (types[k] == PTHREAD_MUTEX_RECURSIVE || types[k] == PTHREAD_MUTEX_ERRORCHECK) {
            CHECK_EQ(pthread_mutex_unlock(&s->mutex[k]), EPERM);
        }
    }
    return argument;
}

static void hold(void)
{
    for (int k = 0; k < 4; k++) {
        OK(pthread_mutex_lock(&s->mutex[k]));
    }
}

static void release(void)
{
    for (int k = 0; k < 4; k++) {
        OK(pthread_mutex_unlock(&s->mutex[k]));
    }
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
    for (int k = 0; k < 4; k++) {
        pthread_mutexattr_t attr;

        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, types[k]));
        OK(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
        OK(pthread_mutexattr_setprotocol(&attr, PROTOCOL));
        OK(pthread_mutex_init(&s->mutex[k], &attr));
    }
    pid_t child = peer("peer");
    contest_work(&s->contest, THREADS, body);
    contest_first(&s->contest, child, hold, release, knock);
    for (int k = 0; k < 4; k++) {
        CHECK_EQ(s->count[k], 2 * THREADS * ROUNDS / 4);
        OK(pthread_mutex_destroy(&s->mutex[k]));
    }
    return 0;
}
