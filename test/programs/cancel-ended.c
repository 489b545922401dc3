/*
 * Calls with threads that have ended but were not joined: pthread_cancel and pthread_kill succeed and
 * change nothing, the result stays; detaching such a thread works once (glibc 2.34 and later).
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>

static atomic_int ended;

static void destructor(void *value)
{
    (void)value;
}

static void *body(void *argument)
{
    ended++;
    return argument;
}

static void *exits(void *argument)
{
    ended++;
    pthread_exit(argument);
}

int main(void)
{
    pthread_key_t key;

    watchdog();
    OK(pthread_key_create(&key, destructor));
    for (int i = 0; i < 20; i++) {
        pthread_t a = start(body, &ended), b = start(exits, &key), c = start(body, NULL);

        while (ended < 3 * (i + 1)) {
            nap(1);
        }
        nap(20); /* gone by now */
        OK(pthread_cancel(a));
        OK(pthread_cancel(b));
        OK(pthread_kill(a, 0));
        OK(pthread_kill(a, SIGUSR1)); /* would end the process */
        CHECK(finish(a) == &ended);
        CHECK(finish(b) == &key);
        OK(pthread_detach(c));
    }
    return 0;
}
