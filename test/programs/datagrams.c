/* Datagrams keep their boundaries: truncation with and without MSG_TRUNC, peeks, empty datagrams,
 * several buffers, and SOCK_SEQPACKET with its end of record; readers wait meanwhile. */
#include "check.h"

#include <sys/socket.h>
#include <sys/uio.h>

static int s[2];

static void *reader(void *argument)
{
    int packets = *(int *)argument == SOCK_SEQPACKET;
    char data[16];
    struct iovec iov[2] = { { data, 2 }, { data + 8, 2 } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    CHECK_EQ(SYS(read(s[0], data, sizeof data)), 5);
    CHECK(memcmp(data, "abcde", 5) == 0);
    CHECK_EQ(SYS(recv(s[0], data, 2, 0)), 2); /* the rest is lost */
    CHECK_EQ(SYS(recv(s[0], data, 2, MSG_TRUNC)), 5);
    CHECK_EQ(SYS(recv(s[0], data, 16, MSG_PEEK)), 5);
    CHECK_EQ(SYS(recv(s[0], data, 16, MSG_PEEK)), 5);
    CHECK_EQ(SYS(recv(s[0], data, 16, MSG_WAITALL)), 5);
    CHECK_EQ(SYS(recvmsg(s[0], &msg, 0)), 4);
    CHECK(msg.msg_flags & MSG_TRUNC);
    CHECK(memcmp(data, "ab", 2) == 0 && memcmp(data + 8, "cd", 2) == 0);
    CHECK_EQ(SYS(recvmsg(s[0], &msg, 0)), 1);
    CHECK(!(msg.msg_flags & MSG_TRUNC));
    CHECK_EQ(SYS(readv(s[0], iov, 2)), 4);
    if (!packets)
        CHECK_EQ(SYS(read(s[0], data, sizeof data)), 0); /* an empty one */
    CHECK_EQ(SYS(recvfrom(s[0], data, sizeof data, 0, NULL, NULL)), 3);
    CHECK(memcmp(data, "end", 3) == 0);
    if (packets)
        CHECK_EQ(SYS(read(s[0], data, sizeof data)), 0);
    return NULL;
}

static void *body(void *argument)
{
    int type = *(int *)argument;
    struct iovec iov[3] = { { "abc", 3 }, { NULL, 0 }, { "de", 2 } };
    pthread_t thread;

    SYS(socketpair(AF_UNIX, type, 0, s));
    thread = start(reader, &type);
    for (int i = 0; i < 5; i++) {
        nap(3);
        CHECK_EQ(SYS(i % 2 ? writev(s[1], iov, 3) : write(s[1], "abcde", 5)), 5);
    }
    CHECK_EQ(SYS(send(s[1], "x", 1, 0)), 1);
    CHECK_EQ(SYS(writev(s[1], iov, 3)), 5);
    if (type == SOCK_DGRAM)
        CHECK_EQ(SYS(send(s[1], "", 0, 0)), 0);
    nap(3);
    CHECK_EQ(SYS(send(s[1], "end", 3, MSG_EOR)), 3);
    SYS(shutdown(s[1], SHUT_WR));
    finish(thread);
    SYS(close(s[0]));
    SYS(close(s[1]));
    return NULL;
}

int main(void)
{
    int types[2] = { SOCK_DGRAM, SOCK_SEQPACKET };

    watchdog();
    finish(start(body, &types[0]));
    finish(start(body, &types[1]));
    return 0;
}
