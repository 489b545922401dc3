/*
 * Another thread cancels the main thread, which runs its handlers and thread-specific destructors and
 * can be joined; the process lives until its last thread ends, with status 0 (POSIX pthread_exit).
 */
#include "check.h"

static pthread_t main_thread;
static pthread_key_t key;
static int handled, destroyed;

static void handler(void *argument)
{
    (void)argument;
    handled = 1;
}

static void destructor(void *value)
{
    CHECK_EQ(handled, 1);
    destroyed = *(int *)value;
}

static void *last(void *argument)
{
    void *value;

    nap(10);
    OK(pthread_cancel(main_thread));
    OK(pthread_join(main_thread, &value));
    CHECK(value == PTHREAD_CANCELED);
    CHECK_EQ(handled, 1);
    CHECK_EQ(destroyed, 42);
    nap(10);
    printf("last thread\n");
    return argument;
}

int main(void)
{
    static int value = 42;

    watchdog();
    main_thread = pthread_self();
    OK(pthread_key_create(&key, destructor));
    OK(pthread_setspecific(key, &value));
    pthread_cleanup_push(handler, NULL);
    start(last, NULL);
    for (;;) {
        pause();
    }
    pthread_cleanup_pop(0);
    return 1;
}
