/* sendmmsg sends all of its messages, waiting for room as often as it takes, whole also on a stream;
 * it stops at the first error and tells how many went out. */
#include "check.h"

#include <signal.h>
#include <sys/socket.h>

enum { MANY = 50, SIZE = 20000 };

static char data[MANY][SIZE];

static void prepare(struct mmsghdr *msgs, struct iovec *iov)
{
    memset(msgs, 0, MANY * sizeof *msgs);
    for (int i = 0; i < MANY; i++) {
        memset(data[i], 'A' + i, SIZE);
        iov[2 * i] = (struct iovec){ data[i], SIZE / 3 };
        iov[2 * i + 1] = (struct iovec){ data[i] + SIZE / 3, SIZE - SIZE / 3 };
        msgs[i].msg_hdr.msg_iov = &iov[2 * i];
        msgs[i].msg_hdr.msg_iovlen = 2;
    }
}

static void *reader(void *argument)
{
    int fd = *(int *)argument, type;
    socklen_t len = sizeof type;
    char *got = malloc(SIZE);

    SYS(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len));
    for (int i = 0; i < MANY; i++) {
        nap(1);
        if (type == SOCK_STREAM)
            read_all(fd, got, SIZE);
        else
            CHECK_EQ(SYS(recv(fd, got, SIZE, 0)), SIZE);
        for (int k = 0; k < SIZE; k++)
            CHECK_EQ(got[k], 'A' + i);
    }
    free(got);
    return NULL;
}

static void *body(void *argument)
{
    int type = (int)(long)argument, s[2], n;
    struct mmsghdr msgs[MANY];
    struct iovec iov[2 * MANY];
    pthread_t thread;

    SYS(socketpair(AF_UNIX, type, 0, s));
    prepare(msgs, iov);
    thread = start(reader, &s[1]);
    CHECK_EQ(SYS(sendmmsg(s[0], msgs, MANY, 0)), MANY);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(msgs[i].msg_len, SIZE);
    finish(thread);
    prepare(msgs, iov);
    n = (int)SYS(sendmmsg(s[0], msgs, MANY, MSG_DONTWAIT));
    CHECK(n > 0 && n < MANY);
    FAILS(sendmmsg(s[0], msgs, MANY, MSG_DONTWAIT), EAGAIN);
    FAILS(sendmmsg(-1, msgs, MANY, 0), EBADF);
    SYS(close(s[1]));
    CHECK_EQ(sendmmsg(s[0], msgs, MANY, MSG_NOSIGNAL), -1);
    CHECK(errno == (type == SOCK_DGRAM ? ECONNREFUSED : EPIPE) || errno == ECONNRESET);
    SYS(close(s[0]));
    return NULL;
}

int main(void)
{
    watchdog();
    finish(start(body, (void *)(long)SOCK_STREAM));
    finish(start(body, (void *)(long)SOCK_SEQPACKET));
    finish(start(body, (void *)(long)SOCK_DGRAM));
    return 0;
}
