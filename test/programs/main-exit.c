/*
 * pthread_exit in main leaves the other threads running; main can be joined; the process ends
 * with status 0, after atexit functions, when the last thread ends (POSIX pthread_exit).
 */
#include "check.h"

static pthread_t main_thread;
static int out[2];

static void *body(void *argument)
{
    void *value;

    OK(pthread_join(main_thread, &value));
    CHECK(value == argument);
    nap(30);
    write_all(out[1], "t", 1);
    return NULL;
}

static void at_exit(void)
{
    write_all(out[1], "x", 1);
}

int main(void)
{
    char text[8];
    int mark;

    watchdog();
    SYS(pipe(out));
    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        CHECK_EQ(atexit(at_exit), 0);
        main_thread = pthread_self();
        OK(pthread_detach(start(body, &mark)));
        pthread_exit(&mark);
    }
    close(out[1]);
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(SYS(read(out[0], text, sizeof(text))), 2);
    CHECK_EQ(memcmp(text, "tx", 2), 0);
    return 0;
}
