/* connect: waiting, O_NONBLOCK with EINPROGRESS, EALREADY and EISCONN, refusal, SO_SNDTIMEO while
 * nobody answers, and the result asked for with SO_ERROR; many threads at a time. */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { THREADS = 20 };

static struct sockaddr_in at = { .sin_family = AF_INET };

static int client(int flags)
{
    return SYS(socket(AF_INET, SOCK_STREAM | flags, 0));
}

static int try(int fd)
{
    return connect(fd, (struct sockaddr *)&at, sizeof at);
}

static void *blocking(void *unused)
{
    int fd = client(0), error = -1;
    socklen_t len = sizeof error;

    SYS(try(fd));
    FAILS(try(fd), EISCONN);
    SYS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    CHECK_EQ(error, 0);
    SYS(close(fd));
    return unused;
}

static void *progress(void *unused)
{
    int fd = client(SOCK_NONBLOCK), error = -1;
    socklen_t len = sizeof error;
    struct pollfd p = { fd, POLLOUT, 0 };

    if (try(fd) < 0) {
        CHECK_EQ(errno, EINPROGRESS);
        CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
    }
    SYS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    CHECK_EQ(error, 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    SYS(close(fd));
    return unused;
}

static void *full(void *unused)
{
    struct timeval tv = { 0, 50000 };
    int fd;

    /* The backlog is full: nobody answers. */
    for (int i = 0;; i++) {
        CHECK(i < 50);
        fd = client(SOCK_NONBLOCK);
        struct pollfd p = { fd, POLLOUT, 0 };
        if (try(fd) == 0 || (errno == EINPROGRESS && poll(&p, 1, 100) == 1))
            continue;
        CHECK_EQ(errno, EINPROGRESS);
        FAILS(try(fd), EALREADY);
        SYS(close(fd));
        break;
    }
    fd = client(0);
    SYS(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
    FAILS(try(fd), EINPROGRESS);
    FAILS(try(fd), EALREADY);
    SYS(close(fd));
    return unused;
}

static void *refused(void *unused)
{
    int fd = client(0);

    FAILS(try(fd), ECONNREFUSED);
    FAILS(try(fd), ECONNREFUSED);
    SYS(close(fd));
    return unused;
}

int main(void)
{
    int listener = client(0);
    socklen_t len = sizeof at;
    pthread_t threads[THREADS];

    watchdog();
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(getsockname(listener, (struct sockaddr *)&at, &len));
    run_threads(THREADS, refused);
    SYS(listen(listener, 128));
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(i % 2 ? blocking : progress, NULL);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    SYS(close(listener));
    listener = client(0);
    at.sin_port = 0;
    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(getsockname(listener, (struct sockaddr *)&at, &len));
    SYS(listen(listener, 0));
    finish(start(full, NULL));
    return 0;
}
