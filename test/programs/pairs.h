/*
 * Two ends of a stream: local sockets, or TCP over the loopback interface. Include after check.h.
 */
#ifndef PAIRS_H
#define PAIRS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* What pair[1] sends goes out at once. */
static inline void tcp_pair(int pair[2])
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t length = sizeof a;
    int one = 1, listener = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));

    SYS(bind(listener, (struct sockaddr *)&a, sizeof a));
    SYS(listen(listener, 1));
    SYS(getsockname(listener, (struct sockaddr *)&a, &length));
    pair[1] = (int)SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(pair[1], (struct sockaddr *)&a, sizeof a));
    pair[0] = (int)SYS(accept(listener, NULL, NULL));
    SYS(setsockopt(pair[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    close(listener);
}

static inline void pair_of(int tcp, int pair[2])
{
    if (tcp) {
        tcp_pair(pair);
    } else {
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    }
}

static inline void close_both(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

#endif
