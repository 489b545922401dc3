/* SO_RCVTIMEO and SO_SNDTIMEO end every call that receives or sends, not before their time, with EAGAIN
 * or with what was transferred by then. */
#include "check.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

enum { WAIT = 15, BIG = 4000000 };

static char data[BIG];

static ssize_t receive(int how, int fd, size_t n)
{
    struct iovec iov[2] = { { data, n / 2 }, { data + n / 2, n - n / 2 } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    struct mmsghdr many = { .msg_hdr = msg };

    switch (how) {
    case 0:
        return read(fd, data, n);
    case 1:
        return readv(fd, iov, 2);
    case 2:
        return recv(fd, data, n, 0);
    case 3:
        return recvfrom(fd, data, n, 0, NULL, NULL);
    case 4:
        return recvmsg(fd, &msg, 0);
    case 5:
        return recvmmsg(fd, &many, 1, 0, NULL);
    default:
        return recv(fd, data, n, MSG_WAITALL);
    }
}

static ssize_t transmit(int how, int fd, size_t n)
{
    struct iovec iov[2] = { { data, n / 2 }, { data + n / 2, n - n / 2 } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    struct mmsghdr many = { .msg_hdr = msg };

    switch (how) {
    case 0:
        return write(fd, data, n);
    case 1:
        return writev(fd, iov, 2);
    case 2:
        return send(fd, data, n, 0);
    case 3:
        return sendto(fd, data, n, 0, NULL, 0);
    case 4:
        return sendmsg(fd, &msg, 0);
    default:
        return sendmmsg(fd, &many, 1, 0) < 0 ? -1 : (ssize_t)many.msg_len;
    }
}

static void *receiving(void *argument)
{
    int how = (int)(long)argument, s[2];
    struct timeval tv = { 0, WAIT * 1000 };

    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SYS(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
    for (int round = 0; round < 2; round++) {
        struct timespec end = from_now(CLOCK_MONOTONIC, WAIT);
        FAILS(receive(how, s[0], 100), EAGAIN);
        CHECK(reached(CLOCK_MONOTONIC, end));
    }
    SYS(write(s[1], "abc", 3));
    CHECK_EQ(SYS(receive(how, s[0], 100)), how == 5 ? 1 : 3);
    SYS(close(s[0]));
    SYS(close(s[1]));
    return NULL;
}

static void *sending(void *argument)
{
    int how = (int)(long)argument, s[2];
    struct timeval tv = { 0, WAIT * 1000 };
    ssize_t n, m = 0;
    struct timespec end;

    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SYS(setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
    end = from_now(CLOCK_MONOTONIC, WAIT);
    n = SYS(transmit(how, s[0], BIG));
    CHECK(n > 0 && n < BIG);
    CHECK(reached(CLOCK_MONOTONIC, end));
    end = from_now(CLOCK_MONOTONIC, WAIT);
    FAILS(transmit(how, s[0], 100), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, end));
    SYS(shutdown(s[0], SHUT_WR));
    while (m < n)
        m += SYS(read(s[1], data, BIG));
    CHECK_EQ(m, n);
    CHECK_EQ(SYS(read(s[1], data, BIG)), 0);
    SYS(close(s[0]));
    SYS(close(s[1]));
    return NULL;
}

int main(void)
{
    watchdog();
    run_threads(7, receiving);
    for (int i = 0; i < 6; i++)
        finish(start(sending, (void *)(long)i));
    return 0;
}
