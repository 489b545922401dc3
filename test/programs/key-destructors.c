/*
 * Thread-specific data: destructors of non-NULL values run when the thread ends, the value is
 * NULL inside, a destructor that sets values again is called again up to
 * PTHREAD_DESTRUCTOR_ITERATIONS times, and may lock, sleep and migrate (POSIX pthread_key_create).
 */
#include "check.h"

#include <limits.h>

static pthread_key_t plain, again, forever, blocking, unset, none;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int plain_runs, again_runs, forever_runs, blocking_runs;

static void on_plain(void *value)
{
    CHECK(pthread_getspecific(plain) == NULL);
    __atomic_add_fetch((int *)value, 1, __ATOMIC_SEQ_CST);
}

static void on_again(void *value)
{
    if (__atomic_add_fetch((int *)value, 1, __ATOMIC_SEQ_CST) % 3 != 0) {
        OK(pthread_setspecific(again, value));
    }
}

static void on_forever(void *value)
{
    __atomic_add_fetch((int *)value, 1, __ATOMIC_SEQ_CST);
    OK(pthread_setspecific(forever, value));
}

static void on_blocking(void *value)
{
    pthread_t self = pthread_self();

    OK(pthread_mutex_lock(&mutex));
    nap(1);
    ++*(int *)value;
    OK(pthread_mutex_unlock(&mutex));
    CHECK(pthread_equal(self, pthread_self()));
    /* A value set for another key inside a destructor gets its turn. */
    OK(pthread_setspecific(plain, &plain_runs));
}

static void never(void *value)
{
    (void)value;
    CHECK(!"the destructor of a NULL value was called");
}

static void *body(void *argument)
{
    CHECK(pthread_getspecific(plain) == NULL);
    OK(pthread_setspecific(plain, &plain_runs));
    OK(pthread_setspecific(again, &again_runs));
    OK(pthread_setspecific(forever, &forever_runs));
    OK(pthread_setspecific(blocking, &blocking_runs));
    OK(pthread_setspecific(unset, &plain_runs));
    OK(pthread_setspecific(unset, NULL));
    OK(pthread_setspecific(none, &plain_runs));
    nap(1);
    CHECK(pthread_getspecific(blocking) == &blocking_runs);
    if (argument) {
        pthread_exit(NULL);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;

    watchdog();
    OK(pthread_key_create(&plain, on_plain));
    OK(pthread_key_create(&again, on_again));
    OK(pthread_key_create(&forever, on_forever));
    OK(pthread_key_create(&blocking, on_blocking));
    OK(pthread_key_create(&unset, never));
    OK(pthread_key_create(&none, NULL));
    /* One after the other, so that the count of again is predictable. */
    for (int i = 1; i <= 10; i++) {
        thread = start(body, i % 2 ? &plain : NULL);
        finish(thread);
        CHECK_EQ(plain_runs, 2 * i);
        CHECK_EQ(again_runs, 3 * i);
        CHECK_EQ(forever_runs, PTHREAD_DESTRUCTOR_ITERATIONS * i);
        CHECK_EQ(blocking_runs, i);
    }
    OK(pthread_key_delete(plain));
    CHECK_EQ(pthread_setspecific(plain, &thread), EINVAL);
    CHECK_EQ(pthread_key_delete(plain), EINVAL);
    return 0;
}
