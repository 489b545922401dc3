/* recvmmsg waits for all of its messages, for one with MSG_WAITFORONE, and for no longer than
 * SO_RCVTIMEO or, after a message, its own timeout; errors and lengths are those of each message. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { MANY = 5 };

static struct mmsghdr msgs[MANY];
static struct iovec iov[MANY];
static char data[MANY][16];

static void prepare(void)
{
    memset(msgs, 0, sizeof msgs);
    for (int i = 0; i < MANY; i++) {
        iov[i] = (struct iovec){ data[i], sizeof data[i] };
        msgs[i].msg_hdr.msg_iov = &iov[i];
        msgs[i].msg_hdr.msg_iovlen = 1;
    }
}

static void *sender(void *argument)
{
    int fd = *(int *)argument;
    static const char text[] = "0123456789abcdefXXXX";

    for (int i = 0; i < MANY; i++) {
        nap(5);
        CHECK_EQ(SYS(send(fd, text,
                          i == 2   ? 0
                          : i == 3 ? 20
                                   : (size_t)i + 1,
                          0)),
                 i == 2   ? 0
                 : i == 3 ? 20
                          : i + 1);
    }
    return NULL;
}

static void *body(void *argument)
{
    int *s = argument;
    pthread_t thread;
    struct timeval tv = { 0, 30000 };
    struct timespec timeout = { 0, 0 };

    prepare();
    FAILS(recvmmsg(s[0], msgs, MANY, MSG_DONTWAIT, NULL), EAGAIN);
    FAILS(recvmmsg(-1, msgs, MANY, 0, NULL), EBADF);
    FAILS(recvmmsg(0, msgs, MANY, 0, NULL), ENOTSOCK);
    FAILS(recvmmsg(s[0], NULL, MANY, MSG_DONTWAIT, NULL), s[0] >= 0 ? EFAULT : 0);
    timeout.tv_nsec = -1;
    FAILS(recvmmsg(s[0], msgs, MANY, 0, &timeout), EINVAL);
    thread = start(sender, &s[1]);
    CHECK_EQ(SYS(recvmmsg(s[0], msgs, MANY, 0, NULL)), MANY);
    CHECK_EQ(msgs[0].msg_len, 1);
    CHECK_EQ(msgs[1].msg_len, 2);
    CHECK_EQ(msgs[2].msg_len, 0);
    CHECK_EQ(msgs[3].msg_len, 16);
    CHECK(msgs[3].msg_hdr.msg_flags & MSG_TRUNC);
    CHECK_EQ(msgs[4].msg_len, 5);
    finish(thread);
    thread = start(sender, &s[1]);
    prepare();
    CHECK(SYS(recvmmsg(s[0], msgs, MANY, MSG_WAITFORONE, NULL)) >= 1);
    CHECK_EQ(msgs[0].msg_len, 1);
    finish(thread);
    while (recv(s[0], data[0], 1, MSG_DONTWAIT) >= 0) {
    }
    SYS(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
    FAILS(recvmmsg(s[0], msgs, MANY, 0, NULL), EAGAIN);
    SYS(send(s[1], "ab", 2, 0));
    SYS(send(s[1], "abc", 3, 0));
    prepare();
    CHECK_EQ(SYS(recvmmsg(s[0], msgs, MANY, 0, NULL)), 2);
    CHECK_EQ(msgs[1].msg_len, 3);
    tv.tv_usec = 0;
    SYS(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
    /* The timeout is over when the second message comes. */
    timeout = (struct timespec){ 0, 7000000 };
    thread = start(sender, &s[1]);
    int n = (int)SYS(recvmmsg(s[0], msgs, MANY, 0, &timeout));
    CHECK(n >= 1 && n < MANY);
    CHECK_EQ(timeout.tv_sec, 0);
    CHECK_EQ(timeout.tv_nsec, 0);
    finish(thread);
    while (recv(s[0], data[0], 1, MSG_DONTWAIT) >= 0) {
    }
    return NULL;
}

int main(void)
{
    int s[2];
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof at;

    watchdog();
    SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
    finish(start(body, s));
    s[0] = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    s[1] = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    SYS(bind(s[0], (struct sockaddr *)&at, sizeof at));
    SYS(getsockname(s[0], (struct sockaddr *)&at, &len));
    SYS(connect(s[1], (struct sockaddr *)&at, sizeof at));
    finish(start(body, s));
    return 0;
}
