/*
 * An epoll server: several workers wait in epoll_wait on one descriptor with EPOLLONESHOT and
 * serve non-blocking connections; an eventfd stops them (epoll(7)).
 */
#include "check.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { WORKERS = 4, CLIENTS = 50, ROUNDS = 20 };

static int epoll, stop, served;

static void *worker(void *argument)
{
    for (;;) {
        struct epoll_event events[8];
        int n = (int)SYS(epoll_wait(epoll, events, 8, -1));

        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char buffer[256];
            ssize_t size;

            if (fd == stop) {
                return argument;
            }
            while ((size = read(fd, buffer, sizeof(buffer))) > 0) {
                __atomic_add_fetch(&served, (int)size, __ATOMIC_SEQ_CST);
                write_all(fd, buffer, (size_t)size);
            }
            if (size == 0) {
                SYS(close(fd));
                continue;
            }
            CHECK_EQ(errno, EAGAIN);
            struct epoll_event again = { .events = EPOLLIN | EPOLLONESHOT, .data.fd = fd };
            SYS(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &again));
        }
    }
}

static void *client(void *argument)
{
    int me = *(int *)argument, pair[2];
    unsigned char out[200], in[200];

    SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    SYS(fcntl(pair[0], F_SETFL, 0));
    struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.fd = pair[1] };
    SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event));
    for (int i = 0; i < ROUNDS; i++) {
        memset(out, me * ROUNDS + i, sizeof(out));
        write_all(pair[0], out, sizeof(out));
        read_all(pair[0], in, sizeof(in));
        CHECK_EQ(memcmp(in, out, sizeof(in)), 0);
    }
    SYS(close(pair[0]));
    return NULL;
}

int main(void)
{
    pthread_t workers[WORKERS], clients[CLIENTS];
    int numbers[CLIENTS];
    struct epoll_event event = { .events = EPOLLIN };
    struct timespec t;

    watchdog();
    epoll = SYS(epoll_create1(EPOLL_CLOEXEC));
    stop = SYS(eventfd(0, 0));
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 20), 0);
    CHECK(reached(CLOCK_MONOTONIC, t));
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    FAILS(epoll_wait(epoll, &event, 0, 0), EINVAL);
    FAILS(epoll_wait(stop, &event, 1, 0), EINVAL);

    for (int i = 0; i < WORKERS; i++) {
        workers[i] = start(worker, NULL);
    }
    for (int i = 0; i < CLIENTS; i++) {
        numbers[i] = i;
        clients[i] = start(client, &numbers[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        finish(clients[i]);
    }
    CHECK_EQ(served, CLIENTS * ROUNDS * 200);
    /* Level triggered and never read: it wakes every worker. */
    event = (struct epoll_event){ .events = EPOLLIN, .data.fd = stop };
    SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event));
    write_all(stop, &(unsigned long long){ 1 }, 8);
    for (int i = 0; i < WORKERS; i++) {
        finish(workers[i]);
    }
    return 0;
}
