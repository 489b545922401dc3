/*
 * poll and select name the events that there are, and no others, also after a wait: ordinary data on
 * a TCP socket is no priority data, and the other way round (POSIX poll).
 */
#include "check.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>

static int ends[2];

static void *sends(void *argument)
{
    int flags = *(int *)argument;

    nap(5);
    CHECK_EQ(SYS(send(ends[1], "x", 1, flags)), 1);
    return NULL;
}

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    int listener = SYS(socket(AF_INET, SOCK_STREAM, 0)), ordinary = 0, urgent = MSG_OOB;
    char byte;

    watchdog();
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, 1));
    SYS(getsockname(listener, (struct sockaddr *)&address, &length));
    ends[1] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(ends[1], (struct sockaddr *)&address, sizeof(address)));
    ends[0] = SYS(accept(listener, NULL, NULL));
    for (int i = 0; i < 6; i++) {
        struct pollfd p = { .fd = ends[0], .events = POLLIN | POLLPRI };
        pthread_t thread = start(sends, &ordinary);

        CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
        CHECK_EQ(p.revents, POLLIN);
        CHECK_EQ(SYS(recv(ends[0], &byte, 1, 0)), 1);
        finish(thread);
        p.revents = 99;
        CHECK_EQ(SYS(poll(&p, 1, 1)), 0);
        CHECK_EQ(p.revents, 0);
    }
    fd_set in, exceptional;
    pthread_t thread = start(sends, &ordinary);
    FD_ZERO(&in);
    FD_ZERO(&exceptional);
    FD_SET(ends[0], &in);
    FD_SET(ends[0], &exceptional);
    CHECK_EQ(SYS(select(ends[0] + 1, &in, NULL, &exceptional, NULL)), 1);
    CHECK(FD_ISSET(ends[0], &in));
    CHECK(!FD_ISSET(ends[0], &exceptional));
    CHECK_EQ(SYS(recv(ends[0], &byte, 1, 0)), 1);
    finish(thread);

    struct pollfd p = { .fd = ends[0], .events = POLLIN | POLLPRI };
    thread = start(sends, &urgent);
    CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
    CHECK_EQ(p.revents, POLLPRI);
    finish(thread);
    return 0;
}
