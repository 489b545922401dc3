/* Urgent data: MSG_OOB is received by itself, never waits, stops a read before its place, and shows as
 * POLLPRI while others wait for ordinary data. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int ends[2];

static void *peer(void *unused)
{
    nap(10);
    CHECK_EQ(SYS(send(ends[1], "abc", 3, 0)), 3);
    nap(10);
    CHECK_EQ(SYS(send(ends[1], "!", 1, MSG_OOB)), 1);
    nap(10);
    CHECK_EQ(SYS(send(ends[1], "def", 3, 0)), 3);
    return unused;
}

static void *body(void *unused)
{
    char data[16];
    pthread_t thread;
    struct pollfd p = { ends[0], POLLPRI, 0 };

    FAILS(recv(ends[0], data, 1, MSG_OOB), EINVAL);
    thread = start(peer, NULL);
    CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
    CHECK_EQ(p.revents, POLLPRI);
    CHECK_EQ(SYS(recv(ends[0], data, 1, MSG_OOB)), 1);
    CHECK_EQ(data[0], '!');
    FAILS(recv(ends[0], data, 1, MSG_OOB), EINVAL);
    finish(thread);
    CHECK_EQ(SYS(read(ends[0], data, sizeof data)), 3);
    CHECK(memcmp(data, "abc", 3) == 0);
    CHECK_EQ(SYS(sockatmark(ends[0])), 1);
    CHECK_EQ(SYS(read(ends[0], data, sizeof data)), 3);
    CHECK(memcmp(data, "def", 3) == 0);
    return unused;
}

int main(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof at;
    int listener = SYS(socket(AF_INET, SOCK_STREAM, 0));

    watchdog();
    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(listen(listener, 1));
    SYS(getsockname(listener, (struct sockaddr *)&at, &len));
    ends[1] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(ends[1], (struct sockaddr *)&at, len));
    ends[0] = SYS(accept(listener, NULL, NULL));
    finish(start(body, NULL));
    return 0;
}
