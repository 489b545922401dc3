/*
 * pthread_join hands over the value a thread returned or gave to pthread_exit, whether the thread
 * ends before or during the join (POSIX pthread_create, pthread_exit, pthread_join).
 */
#include "check.h"

#include <stdint.h>

static void *returns(void *argument)
{
    return argument;
}

static void *exits(void *argument)
{
    pthread_exit(argument);
}

static void *sleeps_first(void *argument)
{
    nap(20);
    return argument;
}

int main(void)
{
    void *values[] = { NULL, (void *)1, (void *)-1, (void *)(intptr_t)INTPTR_MIN, &values };
    void *(*bodies[])(void *) = { returns, exits, sleeps_first };

    watchdog();
    for (size_t b = 0; b < sizeof(bodies) / sizeof(*bodies); b++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++) {
            CHECK(finish(start(bodies[b], values[v])) == values[v]);
        }
    }

    /* Ended long before they are joined, and joined in the opposite order. */
    pthread_t threads[100];
    for (intptr_t i = 0; i < 100; i++) {
        threads[i] = start(i % 2 ? returns : exits, (void *)i);
    }
    nap(50);
    for (intptr_t i = 99; i >= 0; i--) {
        CHECK(finish(threads[i]) == (void *)i);
    }

    /* A value nobody wants. */
    OK(pthread_join(start(returns, &values), NULL));
    return 0;
}
