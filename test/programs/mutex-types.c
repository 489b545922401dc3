/*
 * What each mutex type answers to a second lock, a foreign unlock and an unlock too many
 * (POSIX pthread_mutex_lock, table of 2.9.3).
 */
#include "check.h"

static pthread_mutex_t mutex;

static void *tries(void *argument)
{
    CHECK_EQ(pthread_mutex_trylock(&mutex), *(int *)argument);
    return NULL;
}

static void *tries_and_unlocks(void *argument)
{
    OK(pthread_mutex_trylock(&mutex));
    OK(pthread_mutex_unlock(&mutex));
    return argument;
}

static void *unlocks(void *argument)
{
    CHECK_EQ(pthread_mutex_unlock(&mutex), *(int *)argument);
    return NULL;
}

static void make(int type)
{
    pthread_mutexattr_t attr;
    int value;

    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_settype(&attr, type));
    OK(pthread_mutexattr_gettype(&attr, &value));
    CHECK_EQ(value, type);
    OK(pthread_mutex_init(&mutex, &attr));
    OK(pthread_mutexattr_destroy(&attr));
}

int main(void)
{
    pthread_mutexattr_t attr;
    int busy = EBUSY, perm = EPERM;

    watchdog();
    OK(pthread_mutexattr_init(&attr));
    CHECK_EQ(pthread_mutexattr_settype(&attr, 99), EINVAL);

    int plain[] = { PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_DEFAULT, PTHREAD_MUTEX_ADAPTIVE_NP };
    for (int i = 0; i < 3; i++) {
        make(plain[i]);
        OK(pthread_mutex_lock(&mutex));
        CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
        finish(start(tries, &busy));
        CHECK_EQ(pthread_mutex_destroy(&mutex), EBUSY);
        OK(pthread_mutex_unlock(&mutex));
        finish(start(tries_and_unlocks, NULL));
        OK(pthread_mutex_destroy(&mutex));
    }

    make(PTHREAD_MUTEX_RECURSIVE);
    for (int i = 0; i < 1000; i++) {
        OK(i % 2 ? pthread_mutex_lock(&mutex) : pthread_mutex_trylock(&mutex));
    }
    for (int i = 0; i < 1000; i++) {
        finish(i % 100 ? start(tries, &busy) : start(unlocks, &perm));
        OK(pthread_mutex_unlock(&mutex));
    }
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    finish(start(tries_and_unlocks, NULL));
    OK(pthread_mutex_destroy(&mutex));

    make(PTHREAD_MUTEX_ERRORCHECK);
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    OK(pthread_mutex_lock(&mutex));
    CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    finish(start(tries, &busy));
    finish(start(unlocks, &perm));
    OK(pthread_mutex_unlock(&mutex));
    finish(start(tries_and_unlocks, NULL));
    OK(pthread_mutex_destroy(&mutex));
    return 0;
}
