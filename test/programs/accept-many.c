/* Several threads accept on one listener: each connection goes to one of them; flags and addresses are
 * its own; SO_RCVTIMEO ends a wait; shutdown of the listener ends all of them. */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { THREADS = 16, CONNECTIONS = 300 };

static int listener;
static struct sockaddr_in at = { .sin_family = AF_INET };
static _Atomic int seen[CONNECTIONS], accepted, ended;

static void *acceptor(void *argument)
{
    int flags = (long)argument % 2 ? SOCK_NONBLOCK | SOCK_CLOEXEC : 0;

    for (;;) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        int fd = accept4(listener, (struct sockaddr *)&from, &len, flags), number;

        if (fd < 0) {
            CHECK_EQ(errno, EINVAL);
            ended++;
            return NULL;
        }
        CHECK_EQ(len, sizeof from);
        CHECK_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        CHECK(!!(fcntl(fd, F_GETFL) & O_NONBLOCK) == !!flags);
        CHECK(!!(fcntl(fd, F_GETFD) & FD_CLOEXEC) == !!flags);
        fcntl(fd, F_SETFL, 0);
        read_all(fd, &number, sizeof number);
        CHECK_EQ(++seen[number], 1);
        accepted++;
        SYS(close(fd));
    }
}

static void *timed(void *unused)
{
    int other = SYS(socket(AF_INET, SOCK_STREAM, 0));
    struct timeval tv = { 0, 20000 };

    SYS(listen(other, 5));
    SYS(setsockopt(other, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
    FAILS(accept(other, NULL, NULL), EAGAIN);
    SYS(fcntl(other, F_SETFL, O_NONBLOCK));
    FAILS(accept(other, NULL, NULL), EAGAIN);
    SYS(close(other));
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS];
    socklen_t len = sizeof at;

    watchdog();
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(getsockname(listener, (struct sockaddr *)&at, &len));
    SYS(listen(listener, 64));
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(acceptor, (void *)(long)i);
    finish(start(timed, NULL));
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = SYS(socket(AF_INET, SOCK_STREAM, 0));
        SYS(connect(fd, (struct sockaddr *)&at, sizeof at));
        write_all(fd, &i, sizeof i);
        SYS(close(fd));
        if (i % 50 == 0)
            nap(2);
    }
    while (accepted < CONNECTIONS)
        nap(2);
    SYS(shutdown(listener, SHUT_RD));
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    CHECK_EQ(ended, THREADS);
    return 0;
}
