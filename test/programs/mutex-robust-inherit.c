/*
 * Robust mutexes with priority inheritance: both at once. The owner ends, with and without threads that
 * wait; the mutex is made consistent or is lost; and whoever holds it runs at the priority of the highest
 * that waits (if real-time policies may be had).
 */
#include "check.h"

#include "priority.h"

#include <stdatomic.h>

enum { THREADS = 6 };

static pthread_mutex_t mutex;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_int waiting;
static int type, go, realtime;
static volatile long a, b;

static void make(void)
{
    pthread_mutexattr_t attr;
    int got;
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_settype(&attr, type));
    OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    OK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    OK(pthread_mutex_init(&mutex, &attr));
    OK(pthread_mutexattr_getprotocol(&attr, &got));
    CHECK_EQ(got, PTHREAD_PRIO_INHERIT);
}

static void *counts(void *argument)
{
    for (int i = 0; i < 1000; i++) {
        struct timespec soon = from_now(CLOCK_REALTIME, 5000);
        OK(i % 3 ? pthread_mutex_lock(&mutex) : pthread_mutex_timedlock(&mutex, &soon));
        CHECK_EQ(a, b);
        a++;
        if (i % 64 == 0) {
            sched_yield();
        }
        b++;
        OK(pthread_mutex_unlock(&mutex));
    }
    return argument;
}

static void *keeps(void *argument)
{
    OK(pthread_mutex_lock(&mutex));
    waiting = 1;
    while (argument && !go) {
        nap(1);
    }
    return argument; /* with the mutex */
}

static atomic_int dead;

/* One of those who wait is told, and makes it consistent or not. */
static void *inherits_it(void *argument)
{
    waiting++;
    int err = pthread_mutex_lock(&mutex);
    if (err == EOWNERDEAD) {
        dead++;
        if (argument) {
            OK(pthread_mutex_consistent(&mutex));
        }
    } else {
        CHECK_EQ(err, argument ? 0 : ENOTRECOVERABLE);
    }
    if (err != ENOTRECOVERABLE) {
        OK(pthread_mutex_unlock(&mutex));
    }
    return NULL;
}

static void *tries(void *argument)
{
    struct timespec soon = from_now(CLOCK_REALTIME, 10);
    (void)argument;
    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    CHECK_EQ(pthread_mutex_timedlock(&mutex, &soon), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, soon));
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    return NULL;
}

static void *waits_cond(void *argument)
{
    OK(pthread_mutex_lock(&mutex));
    waiting++;
    while (!go) {
        OK(pthread_cond_wait(&cond, &mutex));
    }
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void *urgent(void *argument)
{
    OK(try_real_time(9));
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void *is_lent(void *argument)
{
    OK(pthread_mutex_lock(&mutex));
    int own = priority_now();
    pthread_t thread = start(urgent, NULL);
    await_priority(9);
    OK(pthread_mutex_unlock(&mutex));
    CHECK_EQ(priority_now(), own);
    finish(thread);
    return argument;
}

static void round_of(void)
{
    pthread_t threads[THREADS], owner;

    make();
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(counts, NULL);
    }
    counts(NULL);
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(a, b);

    OK(pthread_mutex_lock(&mutex));
    finish(start(tries, NULL));
    if (type == PTHREAD_MUTEX_RECURSIVE) {
        OK(pthread_mutex_lock(&mutex));
        OK(pthread_mutex_unlock(&mutex));
    } else if (type == PTHREAD_MUTEX_ERRORCHECK) {
        CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    }
    OK(pthread_mutex_unlock(&mutex));
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    CHECK_EQ(pthread_mutex_consistent(&mutex), EINVAL);

    /* Nobody waits. */
    finish(start(keeps, NULL));
    CHECK_EQ(pthread_mutex_trylock(&mutex), EOWNERDEAD);
    OK(pthread_mutex_consistent(&mutex));
    OK(pthread_mutex_unlock(&mutex));

    /* Some wait; the first of them makes it consistent. */
    for (int consistent = 1; consistent >= 0; consistent--) {
        go = 0;
        waiting = 0;
        owner = start(keeps, &go);
        while (!waiting) {
            nap(1);
        }
        dead = 0;
        for (int i = 0; i < 3; i++) {
            threads[i] = start(inherits_it, consistent ? &go : NULL);
        }
        while (waiting < 4) {
            nap(1);
        }
        nap(20);
        go = 1;
        finish(owner);
        for (int i = 0; i < 3; i++) {
            finish(threads[i]);
        }
        CHECK_EQ(dead, 1);
    }
    CHECK_EQ(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
    OK(pthread_mutex_destroy(&mutex));

    make();
    go = 0;
    waiting = 0;
    for (int i = 0; i < 3; i++) {
        threads[i] = start(waits_cond, NULL);
    }
    for (int there = 0; there < 3;) {
        OK(pthread_mutex_lock(&mutex));
        there = waiting;
        OK(pthread_mutex_unlock(&mutex));
    }
    OK(pthread_mutex_lock(&mutex));
    go = 1;
    OK(pthread_cond_broadcast(&cond));
    OK(pthread_mutex_unlock(&mutex));
    for (int i = 0; i < 3; i++) {
        finish(threads[i]);
    }
    if (realtime) {
        finish(start(is_lent, NULL));
    }
    OK(pthread_mutex_destroy(&mutex));
}

int main(void)
{
    const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_RECURSIVE };
    struct sched_param param = { .sched_priority = 1 };

    watchdog();
    realtime = !pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    param.sched_priority = 0;
    OK(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param));
    for (int i = 0; i < 3; i++) {
        type = types[i];
        round_of();
    }
    return 0;
}
