/*
 * shutdown(SHUT_WR) by another thread ends a send that is blocked because the peer does not read:
 * what fitted is counted, and then the answer is EPIPE, on TCP and on Unix sockets
 * (POSIX shutdown).
 */
#include "check.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { ROUNDS = 10 };

static atomic_int full;

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int listener = SYS(socket(AF_INET, SOCK_STREAM, 0));

    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, 1));
    SYS(getsockname(listener, (struct sockaddr *)&address, &length));
    fds[0] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(fds[0], (struct sockaddr *)&address, sizeof(address)));
    fds[1] = SYS(accept(listener, NULL, NULL));
    SYS(close(listener));
}

static void *sends(void *argument)
{
    static const char zeros[1 << 20];
    int fd = *(int *)argument;

    while (send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    full = 1;
    while (send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0) {
    }
    CHECK_EQ(errno, EPIPE);
    return NULL;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < ROUNDS; i++) {
        int fds[2];

        if (i % 2) {
            tcp_pair(fds);
        } else {
            SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        }
        full = 0;
        pthread_t thread = start(sends, &fds[0]);
        while (!full) {
            nap(1);
        }
        nap(i);
        SYS(shutdown(fds[0], SHUT_WR));
        finish(thread);
        SYS(close(fds[0]));
        SYS(close(fds[1]));
    }
    return 0;
}
