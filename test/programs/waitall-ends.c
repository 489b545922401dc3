/*
 * What ends a receive with MSG_WAITALL in the middle: a signal handler, also with SA_RESTART, and also by
 * longjmp; the end of the stream; a reset; SO_RCVTIMEO; a cancellation does not lose the socket. What had come is the
 * result, and on TCP the error is the next call's.
 */
#include "check.h"

#include "pairs.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/time.h>

enum { ROUNDS = 200 };

static void drained(int fd)
{
    int n = 1;

    while (SYS(ioctl(fd, FIONREAD, &n)) == 0 && n)
        sched_yield();
}

struct one {
    int fd, got;
    char data[100];
};

static void *receives(void *argument)
{
    struct one *one = argument;

    one->got = (int)SYS(recv(one->fd, one->data, sizeof one->data, MSG_WAITALL));
    return NULL;
}

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
    (void)sig;
    handled++;
}

/* The signal comes when the first byte has been taken, and before the wait for the next or in it. */
static void signals(int tcp, int flags)
{
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = flags };

    SYS(sigaction(SIGUSR1, &a, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        struct one one = { 0 };
        int pair[2];

        pair_of(tcp, pair);
        one.fd = pair[0];
        pthread_t reader = start(receives, &one);
        write_all(pair[1], "ab", 2);
        drained(pair[0]);
        OK(pthread_kill(reader, SIGUSR1));
        finish(reader); /* no more comes: the signal must not be lost */
        CHECK_EQ(one.got, 2);
        CHECK_EQ(memcmp(one.data, "ab", 2), 0);
        close_both(pair);
    }
}

static __thread sigjmp_buf jump;

static void on_jump(int sig)
{
    (void)sig;
    siglongjmp(jump, 1);
}

static void *leaves(void *argument)
{
    struct one *one = argument;

    if (!sigsetjmp(jump, 1)) {
        recv(one->fd, one->data, sizeof one->data, MSG_WAITALL);
        return (void *)1;
    }
    return NULL;
}

/* Whatever the call had noted down about the descriptor is gone with it. */
static void jumps(void)
{
    struct sigaction a = { .sa_handler = on_jump };

    SYS(sigaction(SIGUSR2, &a, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        struct one one = { 0 };
        int pair[2];

        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        one.fd = pair[0];
        pthread_t reader = start(leaves, &one);
        write_all(pair[1], "ab", 2);
        drained(pair[0]);
        OK(pthread_kill(reader, SIGUSR2));
        CHECK(finish(reader) == NULL);
        close_both(pair);
    }
}

static void end_of_stream(int tcp)
{
    struct one one = { 0 };
    int pair[2];

    pair_of(tcp, pair);
    one.fd = pair[0];
    pthread_t reader = start(receives, &one);
    write_all(pair[1], "abc", 3);
    drained(pair[0]);
    SYS(shutdown(pair[1], SHUT_WR));
    finish(reader);
    CHECK_EQ(one.got, 3);
    CHECK_EQ(SYS(recv(pair[0], one.data, 1, MSG_WAITALL)), 0);
    close_both(pair);
}

static void reset(int tcp)
{
    struct one one = { 0 };
    struct linger now = { 1, 0 };
    int pair[2];

    pair_of(tcp, pair);
    one.fd = pair[0];
    pthread_t reader = start(receives, &one);
    write_all(pair[1], "abc", 3);
    drained(pair[0]);
    if (tcp)
        SYS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &now, sizeof now));
    else
        write_all(pair[0], "unread", 6);
    close(pair[1]);
    finish(reader);
    CHECK_EQ(one.got, 3);
    if (tcp)
        FAILS(recv(pair[0], one.data, 1, MSG_WAITALL), ECONNRESET);
    CHECK_EQ(SYS(recv(pair[0], one.data, 1, MSG_WAITALL)), 0);
    close(pair[0]);
}

static void timeout(int tcp)
{
    struct timeval t = { 0, 100000 };
    struct one one = { 0 };
    int pair[2];

    pair_of(tcp, pair);
    one.fd = pair[0];
    SYS(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    FAILS(recv(pair[0], one.data, 10, MSG_WAITALL), EAGAIN);
    struct timespec begin = from_now(CLOCK_MONOTONIC, 0), end = from_now(CLOCK_MONOTONIC, 100);
    pthread_t reader = start(receives, &one);
    write_all(pair[1], "a", 1);
    nap(60);
    write_all(pair[1], "b", 1);
    finish(reader);
    /* The time is the whole call's: the second byte did not begin it anew. */
    CHECK(one.got == 2 || one.got == 1);
    CHECK(reached(CLOCK_MONOTONIC, end) && begin.tv_sec <= end.tv_sec);
    close_both(pair);
}

static void cancelled(int tcp)
{
    for (int i = 0; i < ROUNDS / 4; i++) {
        struct one one = { 0 };
        int pair[2];
        char byte;

        pair_of(tcp, pair);
        one.fd = pair[0];
        pthread_t reader = start(receives, &one);
        write_all(pair[1], "a", 1);
        if (i % 2)
            drained(pair[0]);
        OK(pthread_cancel(reader));
        pthread_join(reader, NULL);
        drained(pair[0] < 0 ? 0 : pair[1]);
        while (recv(pair[0], &byte, 1, MSG_DONTWAIT) > 0)
            ;
        write_all(pair[1], "z", 1);
        read_all(pair[0], &byte, 1);
        CHECK_EQ(byte, 'z');
        close_both(pair);
    }
}

int main(void)
{
    watchdog();
    for (int tcp = 0; tcp < 2; tcp++) {
        signals(tcp, 0);
        signals(tcp, SA_RESTART);
        end_of_stream(tcp);
        reset(tcp);
        timeout(tcp);
        cancelled(tcp);
    }
    jumps();
    return 0;
}
