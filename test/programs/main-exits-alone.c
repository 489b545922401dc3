/*
 * pthread_exit in the only thread ends the process with status 0, whatever value it is given, after
 * thread-specific destructors and the handlers of atexit; so does the last of several threads, and in
 * a child of fork the thread that forked (POSIX pthread_exit).
 */
#include "check.h"

static pthread_key_t key;

static void destructor(void *value)
{
    (void)!write(*(int *)value, "d", 1);
}

static int out;

static void at_exit(void)
{
    (void)!write(out, "e", 1);
}

static void *nothing(void *argument)
{
    return argument;
}

static void *exits_late(void *argument)
{
    nap(10);
    OK(pthread_setspecific(key, &out));
    return argument;
}

static void *forks(void *argument)
{
    pid_t child = SYS(fork());

    if (child == 0) {
        watchdog();
        OK(pthread_setspecific(key, &out));
        pthread_exit(argument);
    }
    CHECK_EQ(reap(child), 0);
    return argument;
}

static void run(int which)
{
    switch (which) {
    case 0:
        OK(pthread_setspecific(key, &out));
        break;
    case 1:
        finish(start(nothing, NULL));
        OK(pthread_setspecific(key, &out));
        break;
    case 2:
        OK(pthread_detach(start(exits_late, NULL)));
        break;
    }
    pthread_exit((void *)99);
}

int main(void)
{
    int fds[2];
    char text[3];

    watchdog();
    SYS(pipe(fds));
    out = fds[1];
    OK(pthread_key_create(&key, destructor));
    for (int i = 0; i < 4; i++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            watchdog();
            atexit(at_exit);
            if (i == 3) {
                finish(start(forks, NULL));
                _exit(0);
            }
            run(i);
        }
        int status = reap(child);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
        read_all(fds[0], text, 2);
        text[2] = 0;
        CHECK_EQ(strcmp(text, "de"), 0);
    }
    return 0;
}
