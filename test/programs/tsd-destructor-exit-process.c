/*
 * exit in a destructor of thread-specific data ends the process with its status: handlers of atexit
 * run in that thread, streams are flushed, main's blocking call notwithstanding.
 */
#include "check.h"

static pthread_key_t key;
static pthread_t thread;

static void at_exit(void)
{
    CHECK(pthread_equal(thread, pthread_self()));
    printf("exit handler\n");
}

static void destructor(void *value)
{
    nap(5);
    exit(*(int *)value);
}

static void *body(void *argument)
{
    thread = pthread_self();
    OK(pthread_setspecific(key, argument));
    return argument;
}

int main(void)
{
    watchdog();
    pid_t child = SYS(fork());
    if (child == 0) {
        int status = 42;

        watchdog();
        atexit(at_exit);
        OK(pthread_key_create(&key, destructor));
        finish(start(body, &status));
        for (;;) {
            pause();
        }
    }
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
    return 0;
}
