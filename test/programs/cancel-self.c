/*
 * A thread cancels itself: deferred, the next cancellation point ends it; the main thread can do so
 * before any other thread exists, and the process then ends with status 0 (pthread_cancel(3)).
 */
#include "check.h"

static int stage, handlers;

static void handler(void *argument)
{
    handlers += *(int *)argument;
}

static void *body(void *argument)
{
    int one = 1, ten = 10;

    pthread_cleanup_push(handler, &one);
    pthread_cleanup_push(handler, &ten);
    OK(pthread_cancel(pthread_self()));
    stage = 1;
    pthread_testcancel();
    stage = 2;
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return argument;
}

static void at_exit(void)
{
    (void)!write(1, "exit handler\n", 13);
}

static void only_thread(int threads_before)
{
    atexit(at_exit);
    if (threads_before) {
        finish(start(body, NULL));
    }
    OK(pthread_cancel(pthread_self()));
    pthread_testcancel();
    _exit(3);
}

int main(void)
{
    watchdog();
    for (int i = 0; i < 2; i++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            watchdog();
            only_thread(i);
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
    }
    CHECK(finish(start(body, NULL)) == PTHREAD_CANCELED);
    CHECK_EQ(stage, 1);
    CHECK_EQ(handlers, 11);
    return 0;
}
