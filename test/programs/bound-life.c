/*
 * The life of threads with a scheduling policy of their own: results, pthread_exit, detached ones,
 * destructors, thread_local, joining in both directions, many of them, fork in one.
 */
#include "check.h"

#include <sched.h>
#include <stdatomic.h>

static pthread_key_t key;
static atomic_int destroyed, detached;
static _Thread_local int local = 7;

static void destroy(void *value)
{
    (void)value;
    sched_yield();
    atomic_fetch_add(&destroyed, 1);
}

static void bind(void)
{
    struct sched_param param = { 0 };

    OK(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param));
}

static void *leaf(void *argument)
{
    return argument;
}

static void *body(void *argument)
{
    long n = (long)argument;

    pthread_setspecific(key, &key);
    local += (int)n;
    bind();
    CHECK_EQ(local, 7 + n);
    CHECK(pthread_getspecific(key) == &key);
    free(malloc(1000));
    if (n % 3 == 0) {
        CHECK_EQ((long)finish(start(leaf, (void *)n)), n);
    }
    if (n % 2) {
        pthread_exit((void *)n);
    }
    return (void *)n;
}

static void *detaches(void *argument)
{
    (void)argument;
    OK(pthread_detach(pthread_self()));
    bind();
    atomic_fetch_add(&detached, 1);
    return NULL;
}

static void *joins(void *argument)
{
    bind();
    return finish(*(pthread_t *)argument);
}

static void *sleeps(void *argument)
{
    nap(20);
    return argument;
}

static void *forks(void *argument)
{
    pid_t child;

    (void)argument;
    bind();
    child = SYS(fork());
    if (child == 0) {
        watchdog();
        CHECK_EQ(gettid(), getpid());
        CHECK_EQ((long)finish(start(leaf, (void *)5)), 5);
        _exit(3);
    }
    CHECK_EQ(WEXITSTATUS(reap(child)), 3);
    return NULL;
}

int main(void)
{
    pthread_t threads[50], target, other;
    pthread_attr_t attr;
    struct timespec t;

    watchdog();
    OK(pthread_key_create(&key, destroy));
    for (int round = 0; round < 8; round++) {
        for (long i = 0; i < 50; i++) {
            threads[i] = start(body, (void *)i);
        }
        for (long i = 0; i < 50; i++) {
            CHECK_EQ((long)finish(threads[i]), i);
        }
    }
    CHECK_EQ(atomic_load(&destroyed), 400);
    for (int i = 0; i < 20; i++) {
        start(detaches, NULL);
    }
    target = start(sleeps, &target);
    other = start(joins, &target);
    CHECK(finish(other) == &target);

    /* Made with the policy. */
    OK(pthread_attr_init(&attr));
    OK(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    ((void)pthread_attr_setschedpolicy(&attr, SCHED_BATCH)); /* glibc may refuse */
    OK(pthread_create(&target, &attr, body, (void *)3));
    t = from_now(CLOCK_REALTIME, 20000);
    void *result;
    OK(pthread_timedjoin_np(target, &result, &t));
    CHECK_EQ((long)result, 3);
    finish(start(forks, NULL));
    while (atomic_load(&detached) < 20) {
        nap(1);
    }
    return 0;
}
