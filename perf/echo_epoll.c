/*
 * echo_epoll: the same service written by hand for one thread: non-blocking sockets, level-
 * triggered epoll, and a buffer for what a full socket would not take. This is the mark that
 * thread-per-connection code is measured against. Prints "port N".
 */
#include "bench.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define EVENTS 256

/* What a connection still has to send; most never get one. */
struct rest {
    size_t at, end;
    char bytes[];
};

static int ep, listener;
static struct rest **rests; /* by descriptor */

static void watch(int fd, uint32_t events, int op)
{
    struct epoll_event e = { .events = events, .data.fd = fd };

    if (epoll_ctl(ep, op, fd, &e))
        bench_die("epoll_ctl: %s", strerror(errno));
}

static void drop(int fd)
{
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void take_connections(void)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        bench_die("accept: %s", strerror(errno));
}

/* Answers 0 when all is sent, 1 when the socket is full, -1 when the connection is gone. */
static int push(int fd, const char *bytes, size_t *at, size_t end)
{
    while (*at < end) {
        ssize_t n = write(fd, bytes + *at, end - *at);

        if (n < 0)
            return errno == EAGAIN ? 1 : -1;
        *at += (size_t)n;
    }
    return 0;
}

static void readable(int fd)
{
    char buffer[4096];
    ssize_t got = read(fd, buffer, sizeof buffer);
    size_t at = 0;
    struct rest *r;

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    switch (push(fd, buffer, &at, (size_t)got)) {
    case -1:
        drop(fd);
        break;
    case 1:
        r = malloc(sizeof *r + (size_t)got - at);
        if (!r)
            bench_die("out of memory");
        r->at = 0;
        r->end = (size_t)got - at;
        memcpy(r->bytes, buffer + at, r->end);
        rests[fd] = r;
        watch(fd, EPOLLOUT, EPOLL_CTL_MOD);
    }
}

static void writable(int fd)
{
    struct rest *r = rests[fd];

    switch (push(fd, r->bytes, &r->at, r->end)) {
    case -1:
        drop(fd);
        break;
    case 0:
        free(r);
        rests[fd] = NULL;
        watch(fd, EPOLLIN, EPOLL_CTL_MOD);
    }
}

int main(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct epoll_event events[EVENTS];
    socklen_t len = sizeof addr;
    struct rlimit files;

    bench_raise_nofile();
    getrlimit(RLIMIT_NOFILE, &files);
    rests = calloc(files.rlim_cur, sizeof(struct rest *));
    ep = epoll_create1(0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (!rests || ep < 0 || listener < 0 || bind(listener, (struct sockaddr *)&addr, len) ||
        listen(listener, SOMAXCONN) || getsockname(listener, (struct sockaddr *)&addr, &len))
        bench_die("cannot listen: %s", strerror(errno));
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    printf("port %d\n", ntohs(addr.sin_port));
    fflush(stdout);

    for (;;) {
        int n = epoll_wait(ep, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (fd == listener)
                take_connections();
            else if (rests[fd])
                writable(fd);
            else
                readable(fd);
        }
    }
}
