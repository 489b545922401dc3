/*
 * Writing to a pipe or socket whose reader is gone: SIGPIPE kills by default, EPIPE is the answer
 * when it is ignored or MSG_NOSIGNAL is given, a handler runs in the writing thread, also for a
 * write that was blocked when the reader left (POSIX write).
 */
#include "check.h"

#include <signal.h>
#include <sys/socket.h>

static const char zeros[1 << 20];
static __thread volatile int handled;

static void handler(int signal)
{
    CHECK_EQ(signal, SIGPIPE);
    handled++;
}

static int attempt(int how, int fd)
{
    switch (how) {
    case 0:
        return (int)write(fd, zeros, 1);
    case 1:
        return (int)write(fd, zeros, 1);
    case 2:
        return (int)send(fd, zeros, 1, 0);
    default:
        return (int)write(fd, zeros, sizeof(zeros));
    }
}

static void make(int how, int fds[2])
{
    if (how == 0 || how == 3) {
        SYS(pipe(fds));
    } else {
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    }
}

static void *leaves(void *argument)
{
    nap(10);
    SYS(close(*(int *)argument));
    return NULL;
}

static void *body(void *argument)
{
    int expect_handler = *(int *)argument;

    for (int how = 0; how < 4; how++) {
        int fds[2];

        make(how, fds);
        pthread_t closer = 0;
        if (how == 3) {
            closer = start(leaves, &fds[0]);
            /* Part of it fits into the pipe: the answer is a count, and then EPIPE. */
            ssize_t n = attempt(how, fds[1]);
            CHECK(n > 0 && n < (ssize_t)sizeof(zeros));
            finish(closer);
        } else {
            SYS(close(fds[0]));
        }
        handled = 0;
        FAILS(attempt(how, fds[1]), EPIPE);
        CHECK_EQ(handled, expect_handler);
        SYS(close(fds[1]));
    }
    int fds[2];
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    SYS(close(fds[0]));
    handled = 0;
    FAILS(send(fds[1], zeros, 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(handled, 0);
    SYS(close(fds[1]));
    return NULL;
}

static void *dies(void *argument)
{
    int how = *(int *)argument, fds[2];

    make(how, fds);
    SYS(close(fds[0]));
    attempt(how, fds[1]);
    _exit(0);
}

int main(void)
{
    watchdog();
    signal(SIGPIPE, SIG_IGN);
    finish(start(body, &(int){ 0 }));
    signal(SIGPIPE, handler);
    finish(start(body, &(int){ 1 }));
    signal(SIGPIPE, SIG_DFL);
    for (int how = 0; how < 3; how++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            watchdog();
            finish(start(dies, &how));
            _exit(0);
        }
        int status = reap(child);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGPIPE);
    }
    return 0;
}
