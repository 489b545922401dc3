/*
 * SO_RCVTIMEO and SO_SNDTIMEO: recv, read, recvmsg, accept and send answer EAGAIN when the time
 * is over and not before, a partial MSG_WAITALL returns what came (socket(7)).
 */
#include "check.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

static void set_timeout(int fd, int option, int milliseconds)
{
    struct timeval t = { milliseconds / 1000, milliseconds % 1000 * 1000 };

    SYS(setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t)));
}

/* The kernel counts these times in ticks, so it may be early by one of them (10 ms at 100 Hz). */
static struct timespec no_earlier(void)
{
    return from_now(CLOCK_MONOTONIC, 30 - 10);
}

static void *body(void *argument)
{
    static const char zeros[1 << 20];
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char buffer[100];
    struct iovec piece = { buffer, sizeof(buffer) };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    struct timespec t;
    int fds[2];

    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    set_timeout(fds[0], SO_RCVTIMEO, 30);
    t = no_earlier();
    FAILS(recv(fds[0], buffer, 1, 0), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = no_earlier();
    FAILS(read(fds[0], buffer, 1), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = no_earlier();
    FAILS(recvmsg(fds[0], &message, 0), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    write_all(fds[1], "abc", 3);
    t = no_earlier();
    CHECK_EQ(SYS(recv(fds[0], buffer, 100, MSG_WAITALL)), 3);
    CHECK(reached(CLOCK_MONOTONIC, t));
    set_timeout(fds[0], SO_RCVTIMEO, 30000);
    write_all(fds[1], "abc", 3);
    CHECK_EQ(SYS(recv(fds[0], buffer, 100, 0)), 3);

    set_timeout(fds[1], SO_SNDTIMEO, 30);
    while (send(fds[1], zeros, sizeof(zeros), MSG_DONTWAIT) > 0) {
    }
    t = no_earlier();
    FAILS(send(fds[1], zeros, sizeof(zeros), 0), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = no_earlier();
    FAILS(write(fds[1], zeros, sizeof(zeros)), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    SYS(close(fds[0]));
    SYS(close(fds[1]));

    int listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, 1));
    set_timeout(listener, SO_RCVTIMEO, 30);
    t = no_earlier();
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    SYS(close(listener));
    return argument;
}

int main(void)
{
    watchdog();
    run_threads(10, body);
    return 0;
}
