/*
 * All PTHREAD_KEYS_MAX keys can be had and hold values in many threads; every destructor runs; a
 * deleted key is had again and reads NULL in threads that had a value (POSIX pthread_key_create).
 */
#include "check.h"

#include <limits.h>
#include <stdint.h>

enum { THREADS = 20 };

static pthread_key_t keys[PTHREAD_KEYS_MAX + 1];
static int destroyed[PTHREAD_KEYS_MAX];
static pthread_barrier_t barrier;

static void destructor(void *value)
{
    __atomic_add_fetch(&destroyed[(uintptr_t)value - 1], 1, __ATOMIC_SEQ_CST);
}

static void *body(void *argument)
{
    for (uintptr_t i = 0; i < PTHREAD_KEYS_MAX; i++) {
        CHECK(pthread_getspecific(keys[i]) == NULL);
        OK(pthread_setspecific(keys[i], (void *)(i + 1)));
    }
    pthread_barrier_wait(&barrier);
    /* Main makes one key anew. */
    pthread_barrier_wait(&barrier);
    CHECK(pthread_getspecific(keys[500]) == NULL);
    for (uintptr_t i = 0; i < PTHREAD_KEYS_MAX; i++) {
        if (i != 500) {
            CHECK_EQ((uintptr_t)pthread_getspecific(keys[i]), i + 1);
        }
    }
    return argument;
}

int main(void)
{
    pthread_t threads[THREADS];

    watchdog();
    for (int i = 0; i < PTHREAD_KEYS_MAX; i++) {
        OK(pthread_key_create(&keys[i], destructor));
    }
    CHECK_EQ(pthread_key_create(&keys[PTHREAD_KEYS_MAX], destructor), EAGAIN);
    OK(pthread_barrier_init(&barrier, NULL, THREADS + 1));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < THREADS; i++) {
            threads[i] = start(body, NULL);
        }
        pthread_barrier_wait(&barrier);
        OK(pthread_key_delete(keys[500]));
        CHECK_EQ(pthread_setspecific(keys[500], &barrier), EINVAL);
        CHECK_EQ(pthread_key_delete(keys[500]), EINVAL);
        OK(pthread_key_create(&keys[500], destructor));
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        for (int i = 0; i < PTHREAD_KEYS_MAX; i++) {
            CHECK_EQ(destroyed[i], i == 500 ? 0 : THREADS * (round + 1));
        }
    }
    return 0;
}
