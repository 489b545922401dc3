/*
 * vfork in several threads at once, with children that redirect, close and exec or _exit; other
 * threads run on meanwhile and the borrowed memory is as the child left it (vfork(2)).
 */
#include "check.h"

#include <fcntl.h>
#include <stdatomic.h>

#define N 6

static atomic_int stop;
static atomic_long laps;

static void *runs(void *argument)
{
    while (!stop) {
        laps++;
        usleep(100);
    }
    return argument;
}

static void *vforks(void *argument)
{
    static const char *const arguments[] = { "sh", "-c", "read x; echo \"$x\"; exit 9", NULL };
    char back[3];
    int to[2], from[2], status;
    volatile int i;
    volatile int left = 0;

    for (i = 0; i < 10; i++) {
        left = 0;
        pid_t child = vfork();
        if (child == 0) {
            left = i + 1;
            close(0);
            _exit(i);
        }
        SYS(child);
        CHECK_EQ(left, i + 1);
        status = reap(child);
        CHECK_EQ(WEXITSTATUS(status), i);
        SYS(fcntl(0, F_GETFD)); /* the child closed its own */

        SYS(pipe2(to, O_CLOEXEC));
        SYS(pipe2(from, O_CLOEXEC));
        child = vfork();
        if (child == 0) {
            dup2(to[0], 0);
            dup2(from[1], 1);
            execv("/bin/sh", (char **)(unsigned long)arguments);
            _exit(127);
        }
        SYS(child);
        close(to[0]);
        close(from[1]);
        write_all(to[1], "ok\n", 3);
        read_all(from[0], back, 3);
        CHECK_EQ(memcmp(back, "ok\n", 3), 0);
        close(to[1]);
        close(from[0]);
        status = reap(child);
        CHECK_EQ(WEXITSTATUS(status), 9);
    }
    return argument;
}

int main(void)
{
    pthread_t threads[N], runner;

    watchdog();
    runner = start(runs, NULL);
    for (int i = 0; i < N; i++) {
        threads[i] = start(vforks, NULL);
    }
    vforks(NULL);
    for (int i = 0; i < N; i++) {
        finish(threads[i]);
    }
    long before = laps;
    while (laps == before) {
        usleep(100);
    }
    stop = 1;
    finish(runner);
    return 0;
}
