/*
 * A peer that has shut down its sending side ends no wait for room: poll without events or for POLLOUT
 * runs into its timeout, a send waits until there is room, and neither uses the CPU meanwhile. (The
 * kernel reports such a peer with POLLRDHUP, for which nobody asked here.)
 */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

static int fds[2];

static long cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tcp_pair(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    int listener = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));

    SYS(bind(listener, (struct sockaddr *)&address, size));
    SYS(listen(listener, 1));
    SYS(getsockname(listener, (struct sockaddr *)&address, &size));
    fds[1] = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(fds[1], (struct sockaddr *)&address, size));
    fds[0] = (int)SYS(accept(listener, NULL, NULL));
    close(listener);
}

static void *sends(void *argument)
{
    char data[100] = "";

    CHECK_EQ(SYS(send(fds[0], data, sizeof data, 0)), sizeof data);
    return argument;
}

static void *polls(void *argument)
{
    int events = *(int *)argument;
    struct pollfd p = { fds[0], (short)events, 0 };
    struct timespec end = from_now(CLOCK_MONOTONIC, 300);

    CHECK_EQ(SYS(poll(&p, 1, 300)), 0);
    CHECK(reached(CLOCK_MONOTONIC, end));
    return argument;
}

static void *polls_for_ever(void *argument)
{
    struct pollfd p = { fds[0], POLLOUT, 0 };

    CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
    CHECK_EQ(p.revents, POLLOUT);
    return argument;
}

static void half_closed(void)
{
    char data[65536] = "";
    int nothing = 0, out = POLLOUT;
    long before = cpu_ms();

    while (send(fds[0], data, sizeof data, MSG_DONTWAIT) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    SYS(shutdown(fds[1], SHUT_WR));

    pthread_t none = start(polls, &nothing), room = start(polls, &out);
    pthread_t ready = start(polls_for_ever, NULL), sender = start(sends, NULL);
    finish(none);
    finish(room);
    nap(300);
    CHECK(cpu_ms() - before < 400); /* four of them spun for 300 ms and more */

    /* Room, and all goes on. */
    SYS(fcntl(fds[1], F_SETFL, O_NONBLOCK));
    for (;;) {
        struct pollfd p = { fds[1], POLLIN, 0 };

        if (poll(&p, 1, 200) == 0) {
            break;
        }
        SYS(read(fds[1], data, sizeof data));
    }
    finish(ready);
    finish(sender);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    watchdog();
    tcp_pair();
    half_closed();
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    half_closed();
    return 0;
}
