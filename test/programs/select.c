/*
 * select and pselect: read, write and time-outs, several sets, EBADF, EINVAL, the time left in
 * Linux's select, the mask of pselect (POSIX select).
 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/select.h>

static volatile sig_atomic_t handled;

static void handler(int signal)
{
    (void)signal;
    handled = 1;
}

static void *writes_later(void *argument)
{
    nap(10);
    write_all(*(int *)argument, "x", 1);
    return NULL;
}

static void *body(void *argument)
{
    struct timeval tv;
    struct timespec t;
    fd_set readable, writable;
    int a[2], b[2];
    char byte;

    SYS(pipe(a));
    SYS(pipe(b));
    for (int i = 0; i < 10; i++) {
        pthread_t other = start(writes_later, &b[1]);

        FD_ZERO(&readable);
        FD_SET(a[0], &readable);
        FD_SET(b[0], &readable);
        CHECK_EQ(i % 2 ? pselect(FD_SETSIZE, &readable, NULL, NULL, NULL, NULL)
                       : select(FD_SETSIZE, &readable, NULL, NULL, NULL),
                 1);
        CHECK(!FD_ISSET(a[0], &readable));
        CHECK(FD_ISSET(b[0], &readable));
        read_all(b[0], &byte, 1);
        finish(other);
    }
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(a[0], &readable);
    FD_SET(a[1], &writable);
    FD_SET(b[1], &writable);
    CHECK_EQ(select(FD_SETSIZE, &readable, &writable, NULL, NULL), 2);
    CHECK(!FD_ISSET(a[0], &readable));
    CHECK(FD_ISSET(a[1], &writable) && FD_ISSET(b[1], &writable));

    FD_ZERO(&readable);
    FD_SET(a[0], &readable);
    t = from_now(CLOCK_MONOTONIC, 20);
    tv = (struct timeval){ 0, 20000 };
    CHECK_EQ(select(a[0] + 1, &readable, NULL, NULL, &tv), 0);
    CHECK(reached(CLOCK_MONOTONIC, t));
    CHECK(!FD_ISSET(a[0], &readable));
    CHECK(tv.tv_sec == 0 && tv.tv_usec == 0);
    tv = (struct timeval){ 50, 0 };
    write_all(a[1], "x", 1);
    FD_SET(a[0], &readable);
    CHECK_EQ(select(a[0] + 1, &readable, NULL, NULL, &tv), 1);
    CHECK(tv.tv_sec >= 1 && tv.tv_sec < 51);
    t = from_now(CLOCK_MONOTONIC, 10);
    tv = (struct timeval){ 0, 10000 };
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    CHECK(reached(CLOCK_MONOTONIC, t));

    tv = (struct timeval){ 0, -1 };
    FAILS(select(0, NULL, NULL, NULL, &tv), EINVAL);
    FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
    SYS(close(a[0]));
    SYS(close(a[1]));
    SYS(close(b[0]));
    SYS(close(b[1]));
    return argument;
}

int main(void)
{
    sigset_t blocked, empty;

    watchdog();
    run_threads(8, body);
    /* A number that nobody else can take in the meantime. */
    fd_set closed;
    int ends[2];
    SYS(pipe(ends));
    SYS(close(ends[0]));
    FD_ZERO(&closed);
    FD_SET(ends[0], &closed);
    FAILS(select(ends[0] + 1, &closed, NULL, NULL, NULL), EBADF);

    /* A pending signal that only pselect's mask lets through. */
    signal(SIGUSR1, handler);
    sigemptyset(&empty);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &blocked, NULL));
    OK(pthread_kill(pthread_self(), SIGUSR1));
    CHECK_EQ(handled, 0);
    FAILS(pselect(0, NULL, NULL, NULL, NULL, &empty), EINTR);
    CHECK_EQ(handled, 1);
    OK(pthread_sigmask(SIG_BLOCK, NULL, &empty));
    CHECK(sigismember(&empty, SIGUSR1));
    return 0;
}
