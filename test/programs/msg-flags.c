/*
 * MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_MORE and MSG_TRUNC on sockets (recv(2), send(2)).
 */
#include "check.h"

#include <sys/socket.h>

enum { SIZE = 300000 };

static int pair[2];
static unsigned char data[SIZE];

static void *drips(void *argument)
{
    for (size_t at = 0; at < SIZE;) {
        size_t n = SIZE - at < 17777 ? SIZE - at : 17777;

        write_all(pair[1], data + at, n);
        at += n;
        usleep(300);
    }
    return argument;
}

static void *sends_one(void *argument)
{
    nap(10);
    write_all(pair[1], "q", 1);
    return argument;
}

int main(void)
{
    static unsigned char in[SIZE];
    char byte = 0;

    watchdog();
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (unsigned char)(i * 31 >> 3);
    }
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));

    FAILS(recv(pair[0], &byte, 1, MSG_DONTWAIT), EAGAIN);
    FAILS(recv(pair[0], &byte, 1, MSG_DONTWAIT | MSG_WAITALL), EAGAIN);
    while (send(pair[1], in, SIZE, MSG_DONTWAIT) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    while (recv(pair[0], in, SIZE, MSG_DONTWAIT) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);

    /* A peek waits, and leaves the byte. */
    pthread_t thread = start(sends_one, NULL);
    CHECK_EQ(SYS(recv(pair[0], &byte, 1, MSG_PEEK)), 1);
    CHECK_EQ(byte, 'q');
    finish(thread);
    byte = 0;
    CHECK_EQ(SYS(recv(pair[0], &byte, 1, MSG_PEEK | MSG_DONTWAIT)), 1);
    CHECK_EQ(SYS(recv(pair[0], &byte, 1, 0)), 1);
    CHECK_EQ(byte, 'q');

    /* All of it in one call although it comes in pieces. */
    thread = start(drips, NULL);
    CHECK_EQ(SYS(recv(pair[0], in, SIZE, MSG_WAITALL)), SIZE);
    CHECK_EQ(memcmp(in, data, SIZE), 0);
    finish(thread);
    memset(in, 0, SIZE);
    struct iovec pieces[2] = { { in, 1000 }, { in + 1000, SIZE - 1000 } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
    thread = start(drips, NULL);
    CHECK_EQ(SYS(recvmsg(pair[0], &message, MSG_WAITALL)), SIZE);
    CHECK_EQ(memcmp(in, data, SIZE), 0);
    finish(thread);

    /* End of file cuts it short. */
    write_all(pair[1], data, 100);
    SYS(shutdown(pair[1], SHUT_WR));
    CHECK_EQ(SYS(recv(pair[0], in, SIZE, MSG_WAITALL)), 100);
    CHECK_EQ(SYS(recv(pair[0], in, SIZE, MSG_WAITALL)), 0);

    /* A read without MSG_WAITALL returns what is there. */
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    write_all(pair[1], data, 10);
    CHECK_EQ(SYS(recv(pair[0], in, SIZE, 0)), 10);

    SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    SYS(send(pair[1], data, 50, 0));
    CHECK_EQ(SYS(recv(pair[0], in, 8, MSG_PEEK | MSG_TRUNC)), 50);
    CHECK_EQ(SYS(recv(pair[0], in, 8, 0)), 8);
    FAILS(recv(pair[0], in, 8, MSG_DONTWAIT), EAGAIN);
    return 0;
}
