/*
 * Robust mutexes of each type, private and process-shared, when the thread that holds them ends: by
 * returning, pthread_exit, cancellation, or from a destructor of thread-specific data. EOWNERDEAD,
 * consistent, ENOTRECOVERABLE, EPERM, EDEADLK, EINVAL (POSIX pthread_mutexattr_setrobust).
 */
#include "check.h"

enum { MANY = 40 };

static pthread_mutex_t mutex[MANY];
static pthread_key_t key;
static int type, how, holding;

static void in_destructor(void *argument)
{
    (void)argument;
    OK(pthread_mutex_lock(&mutex[MANY - 1]));
}

static void *dies(void *argument)
{
    for (int i = 0; i < MANY - 1; i++) {
        OK(pthread_mutex_lock(&mutex[i]));
    }
    /* Given back in another order. */
    for (int i = 3; i < MANY - 1; i += 5) {
        OK(pthread_mutex_unlock(&mutex[i]));
    }
    if (type == PTHREAD_MUTEX_RECURSIVE) {
        OK(pthread_mutex_lock(&mutex[0]));
    } else if (type == PTHREAD_MUTEX_ERRORCHECK) {
        CHECK_EQ(pthread_mutex_lock(&mutex[0]), EDEADLK);
        CHECK_EQ(pthread_mutex_trylock(&mutex[0]), EDEADLK);
    } else {
        CHECK_EQ(pthread_mutex_trylock(&mutex[0]), EBUSY);
    }
    CHECK_EQ(pthread_mutex_consistent(&mutex[0]), EINVAL);
    OK(pthread_setspecific(key, argument));
    __atomic_store_n(&holding, 1, __ATOMIC_SEQ_CST);
    if (how == 1) {
        pthread_exit(NULL);
    }
    while (how == 2) {
        nap(1000);
    }
    nap(5);
    return NULL;
}

static void *waits(void *argument)
{
    pthread_mutex_t *m = argument;
    struct timespec t = from_now(CLOCK_MONOTONIC, 30000);

    CHECK_EQ(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &t), EOWNERDEAD);
    OK(pthread_mutex_consistent(m));
    CHECK_EQ(pthread_mutex_consistent(m), EINVAL);
    OK(pthread_mutex_unlock(m));
    return NULL;
}

static void *not_mine(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 1);

    CHECK_EQ(pthread_mutex_unlock(argument), EPERM);
    CHECK_EQ(pthread_mutex_timedlock(argument, &t), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_trylock(argument), EBUSY);
    return NULL;
}

static void *inherits(void *argument)
{
    holding = 0;
    pthread_t owner = start(dies, &holding);
    while (!__atomic_load_n(&holding, __ATOMIC_SEQ_CST)) {
        nap(1);
    }
    pthread_t waiter = how == 2 ? start(waits, &mutex[1]) : owner;
    if (how == 2) {
        nap(20);
        OK(pthread_cancel(owner));
        finish(waiter);
    }
    finish(owner);
    for (int i = 0; i < MANY; i++) {
        if ((i % 5 == 3 && i != MANY - 1) || (how == 2 && i == 1)) {
            OK(pthread_mutex_lock(&mutex[i]));
        } else {
            CHECK_EQ(i % 2 ? pthread_mutex_lock(&mutex[i]) : pthread_mutex_trylock(&mutex[i]),
                     EOWNERDEAD);
            finish(start(not_mine, &mutex[i]));
            if (i % 3) {
                OK(pthread_mutex_consistent(&mutex[i]));
            }
        }
        OK(pthread_mutex_unlock(&mutex[i]));
        int error = pthread_mutex_lock(&mutex[i]);
        if (error) {
            CHECK_EQ(error, ENOTRECOVERABLE);
            CHECK(i % 3 == 0);
            CHECK_EQ(pthread_mutex_unlock(&mutex[i]), EPERM);
        } else {
            OK(pthread_mutex_unlock(&mutex[i]));
        }
        OK(pthread_mutex_destroy(&mutex[i]));
    }
    return argument;
}

int main(void)
{
    static const int types[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                 PTHREAD_MUTEX_ERRORCHECK };

    watchdog();
    OK(pthread_key_create(&key, in_destructor));
    for (int i = 0; i < 18; i++) {
        pthread_mutexattr_t attr;

        type = types[i % 3];
        how = i / 6;
        OK(pthread_mutexattr_init(&attr));
        OK(pthread_mutexattr_settype(&attr, type));
        OK(pthread_mutexattr_setpshared(&attr, i / 3 % 2));
        OK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
        for (int k = 0; k < MANY; k++) {
            OK(pthread_mutex_init(&mutex[k], &attr));
        }
        if (i % 2) {
            inherits(NULL);
        } else {
            finish(start(inherits, NULL));
        }
    }
    return 0;
}
