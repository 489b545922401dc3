/*
 * Descriptors with O_NONBLOCK answer EAGAIN at once instead of waiting, and transfer what there
 * is room for (POSIX read, write, recv, accept, connect).
 */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static void set_nonblocking(int fd)
{
    SYS(fcntl(fd, F_SETFL, SYS(fcntl(fd, F_GETFL)) | O_NONBLOCK));
}

static void *body(void *argument)
{
    static const char zeros[1 << 20];
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char buffer[64];
    struct iovec piece = { buffer, sizeof(buffer) };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    unsigned long long value;
    int fds[2];

    /* Created that way, or made so after blocking use. */
    for (int way = 0; way < 2; way++) {
        SYS(pipe2(fds, way ? 0 : O_NONBLOCK));
        if (way) {
            write_all(fds[1], "x", 1);
            read_all(fds[0], buffer, 1);
            set_nonblocking(fds[0]);
            set_nonblocking(fds[1]);
        }
        FAILS(read(fds[0], buffer, 1), EAGAIN);
        FAILS(readv(fds[0], &piece, 1), EAGAIN);
        ssize_t n = SYS(write(fds[1], zeros, sizeof(zeros)));
        CHECK(n > 0 && n < (ssize_t)sizeof(zeros));
        FAILS(write(fds[1], zeros, sizeof(zeros)), EAGAIN);
        close(fds[0]);
        close(fds[1]);

        SYS(socketpair(AF_UNIX, SOCK_STREAM | (way ? 0 : SOCK_NONBLOCK), 0, fds));
        if (way) {
            write_all(fds[1], "x", 1);
            read_all(fds[0], buffer, 1);
            set_nonblocking(fds[0]);
            set_nonblocking(fds[1]);
        }
        FAILS(read(fds[0], buffer, 1), EAGAIN);
        FAILS(recv(fds[0], buffer, 1, 0), EAGAIN);
        FAILS(recvfrom(fds[0], buffer, 1, 0, NULL, NULL), EAGAIN);
        FAILS(recvmsg(fds[0], &message, 0), EAGAIN);
        FAILS(recv(fds[0], buffer, 1, MSG_WAITALL), EAGAIN);
        while (write(fds[1], zeros, sizeof(zeros)) > 0) {
        }
        CHECK_EQ(errno, EAGAIN);
        FAILS(send(fds[1], zeros, sizeof(zeros), 0), EAGAIN);
        close(fds[0]);
        close(fds[1]);
    }

    int listener = SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    socklen_t length = sizeof(address);
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, 1));
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    FAILS(accept4(listener, NULL, NULL, SOCK_CLOEXEC), EAGAIN);
    SYS(getsockname(listener, (struct sockaddr *)&address, &length));
    int client = SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    /* Loopback may connect within the call; otherwise it is in progress. */
    if (connect(client, (struct sockaddr *)&address, sizeof(address)) < 0) {
        CHECK_EQ(errno, EINPROGRESS);
    }
    struct pollfd p = { .fd = client, .events = POLLOUT };
    CHECK_EQ(poll(&p, 1, -1), 1);
    int error;
    length = sizeof(error);
    SYS(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length));
    CHECK_EQ(error, 0);
    p.fd = listener;
    p.events = POLLIN;
    CHECK_EQ(poll(&p, 1, -1), 1);
    int server = SYS(accept(listener, NULL, NULL));
    /* O_NONBLOCK is not inherited from the listener. */
    CHECK_EQ(SYS(fcntl(server, F_GETFL)) & O_NONBLOCK, 0);
    FAILS(recv(client, buffer, 1, 0), EAGAIN);
    close(client);
    close(server);
    close(listener);

    int event = SYS(eventfd(0, EFD_NONBLOCK));
    FAILS(read(event, &value, 8), EAGAIN);
    close(event);
    int timer = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    FAILS(read(timer, &value, 8), EAGAIN);
    close(timer);
    return argument;
}

int main(void)
{
    watchdog();
    body(NULL);
    run_threads(4, body);
    return 0;
}
