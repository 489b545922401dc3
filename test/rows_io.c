/* How to block in functions of descriptors; see rows.c, which has their table. */
#include "programs/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "rows.h"

int empty[2], full[2], silent[2], stuffed[2];
static int listener, epoll;
static struct sockaddr_in address;

void io(void *ends)
{
    static char block[1 << 20];
    int fd = ends == full || ends == stuffed ? ((int *)ends)[1] : ((int *)ends)[0];

    CALL(ssize_t (*)(int, void *, size_t, long, void *, void *), fd, block, sizeof block, 0, NULL,
         NULL);
}

/* With the size of the buffer, which the fortified names check. */
void io_checked(void *ends)
{
    static char block[64];

    CALL(ssize_t (*)(int, void *, size_t, size_t, long, void *, void *), *(int *)ends, block,
         sizeof block, sizeof block, 0, NULL, NULL);
}

void io_vector(void *ends)
{
    static char block[1 << 20];
    struct iovec iov = { block, sizeof block };
    int fd = ends == full ? full[1] : ((int *)ends)[0];

    CALL(ssize_t (*)(int, const struct iovec *, int), fd, &iov, 1);
}

void message(void *ends)
{
    static char block[1 << 20];
    struct iovec iov = { block, sizeof block };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    int fd = ends == stuffed ? stuffed[1] : ((int *)ends)[0];

    CALL(ssize_t (*)(int, struct msghdr *, int), fd, &msg, 0);
}

void accepting(void *unused)
{
    (void)unused;
    CALL(int (*)(int, void *, void *, int), listener, NULL, NULL, 0);
}

void connecting(void *unused)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)unused;
    SYS(fd);
    CALL(int (*)(int, void *, socklen_t), fd, &address, sizeof address);
}

void polling(void *unused)
{
    struct pollfd fd = { .fd = empty[0], .events = POLLIN };

    (void)unused;
    CALL(int (*)(struct pollfd *, nfds_t, int, size_t), &fd, 1, -1, sizeof fd);
}

void polling_masked(void *unused)
{
    struct pollfd fd = { .fd = empty[0], .events = POLLIN };

    (void)unused;
    CALL(int (*)(struct pollfd *, nfds_t, void *, void *, size_t), &fd, 1, NULL, NULL, sizeof fd);
}

void selecting(void *unused)
{
    fd_set set;

    (void)unused;
    FD_ZERO(&set);
    FD_SET(empty[0], &set);
    CALL(int (*)(int, fd_set *, void *, void *, void *, void *), empty[0] + 1, &set, NULL, NULL,
         NULL, NULL);
}

void epolling(void *unused)
{
    struct epoll_event event;

    (void)unused;
    if (strcmp(row_name, "epoll_pwait2") == 0) {
        CALL(int (*)(int, struct epoll_event *, int, void *, void *), epoll, &event, 1, NULL, NULL);
    } else {
        CALL(int (*)(int, struct epoll_event *, int, int, void *), epoll, &event, 1, -1, NULL);
    }
}

static void fill(int fd)
{
    static char block[1 << 16];
    struct iovec iov = { block, sizeof block };
    int flags = fcntl(fd, F_GETFL);

    SYS(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    while (writev(fd, &iov, 1) > 0) {
    }
    iov.iov_len = 1;
    while (writev(fd, &iov, 1) > 0) {
    }
    SYS(fcntl(fd, F_SETFL, flags));
}

/* A listener that has no room: further connections wait for an answer. */
static void prepare_listener(void)
{
    socklen_t len = sizeof address;

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(bind(listener, (struct sockaddr *)&address, len));
    SYS(getsockname(listener, (struct sockaddr *)&address, &len));
    SYS(listen(listener, 0));
}

void prepare_io(void)
{
    SYS(pipe(empty));
    SYS(pipe(full));
    fill(full[1]);
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, silent));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, stuffed));
    fill(stuffed[1]);
    prepare_listener();
    epoll = (int)SYS(epoll_create1(0));
    if (strstr(row_name, "connect")) {
        for (int i = 0; i < 3; i++) {
            int fd = (int)SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

            connect(fd, (struct sockaddr *)&address, sizeof address);
        }
    }
}
