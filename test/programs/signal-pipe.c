/* SIGPIPE is for the thread that wrote; blocked there it stays pending for that thread alone; MSG_NOSIGNAL
 * has none. */
#include "check.h"
#include <signal.h>
#include <sys/socket.h>

static _Thread_local volatile int got;
static volatile int astray;
static _Thread_local volatile int writer;

static void handler(int sig)
{
    (void)sig;
    got++;
    astray += !writer;
}

static void *body(void *argument)
{
    int p[2], s[2];
    sigset_t set, pending;
    struct timespec now = { 0, 0 };
    writer = 1;
    for (int i = 0; i < 20; i++) {
        SYS(pipe(p));
        close(p[0]);
        got = 0;
        FAILS(write(p[1], "x", 1), EPIPE);
        CHECK_EQ(got, 1);
        close(p[1]);
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
        close(s[0]);
        FAILS(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
        CHECK_EQ(got, 1);
        FAILS(send(s[1], "x", 1, 0), EPIPE);
        CHECK_EQ(got, 2);
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
        FAILS(write(s[1], "x", 1), EPIPE);
        usleep(100);
        CHECK_EQ(got, 2);
        SYS(sigpending(&pending));
        CHECK_EQ(sigismember(&pending, SIGPIPE), 1);
        CHECK_EQ(sigtimedwait(&set, NULL, &now), SIGPIPE);
        OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
        CHECK_EQ(got, 2);
        close(s[1]);
    }
    return argument;
}

static volatile int stop;

static void *others(void *argument)
{
    while (!stop) {
        usleep(50);
    }
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    pthread_t threads[4], idle[4];
    watchdog();
    SYS(sigaction(SIGPIPE, &action, NULL));
    for (int i = 0; i < 4; i++) {
        threads[i] = start(body, NULL);
        idle[i] = start(others, NULL);
    }
    for (int i = 0; i < 4; i++) {
        finish(threads[i]);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) {
        finish(idle[i]);
    }
    CHECK_EQ(astray, 0);
    return 0;
}
