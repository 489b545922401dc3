/*
 * 100 keys in 50 threads hold each thread's own values over blocking calls; a key made anew reads
 * NULL everywhere; keys run out with EAGAIN at PTHREAD_KEYS_MAX (POSIX pthread_key_create).
 */
#include "check.h"

#include <limits.h>
#include <sched.h>
#include <stdint.h>

enum { KEYS = 100, THREADS = 50 };

static pthread_key_t keys[KEYS];
static int destroyed;

static void destructor(void *value)
{
    (void)value;
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static void *body(void *argument)
{
    uintptr_t me = (uintptr_t)argument;

    for (uintptr_t k = 0; k < KEYS; k++) {
        CHECK(pthread_getspecific(keys[k]) == NULL);
        OK(pthread_setspecific(keys[k], (void *)(me * 1000 + k)));
    }
    for (int round = 0; round < 5; round++) {
        sched_yield();
        usleep(10);
        for (uintptr_t k = 0; k < KEYS; k++) {
            CHECK_EQ((uintptr_t)pthread_getspecific(keys[k]), me * 1000 + k);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_key_t all[PTHREAD_KEYS_MAX];
    int made = 0, error;

    watchdog();
    for (int k = 0; k < KEYS; k++) {
        OK(pthread_key_create(&keys[k], destructor));
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(destroyed, KEYS * THREADS);

    OK(pthread_setspecific(keys[3], &made));
    OK(pthread_key_delete(keys[3]));
    OK(pthread_key_create(&keys[3], NULL));
    CHECK(pthread_getspecific(keys[3]) == NULL);

    while ((error = pthread_key_create(&all[made], NULL)) == 0) {
        made++;
        CHECK(made + KEYS <= PTHREAD_KEYS_MAX);
    }
    CHECK_EQ(error, EAGAIN);
    while (made > 0) {
        OK(pthread_key_delete(all[--made]));
    }
    return 0;
}
