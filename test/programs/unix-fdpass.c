/*
 * Descriptors passed over Unix sockets with sendmsg and recvmsg between threads, datagram and
 * stream, with MSG_CMSG_CLOEXEC, MSG_CTRUNC and SO_PASSCRED left alone (unix(7), cmsg(3)).
 */
#include "check.h"

#include <fcntl.h>
#include <sys/socket.h>

enum { PAIRS = 10, ROUNDS = 30 };

struct channel {
    int number, fds[2];
};

static void *sender(void *argument)
{
    struct channel *channel = argument;

    for (int i = 0; i < ROUNDS; i++) {
        union {
            char buffer[CMSG_SPACE(2 * sizeof(int))];
            struct cmsghdr align;
        } control = { 0 };
        int value = channel->number * ROUNDS + i, ends[2];
        struct iovec piece = { &value, sizeof(value) };
        struct msghdr message = { .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = control.buffer,
                                  .msg_controllen = sizeof(control.buffer) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        SYS(pipe(ends));
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(2 * sizeof(int));
        memcpy(CMSG_DATA(header), ends, sizeof(ends));
        CHECK_EQ(SYS(sendmsg(channel->fds[0], &message, 0)), sizeof(value));
        SYS(close(ends[0]));
        SYS(close(ends[1]));
    }
    return NULL;
}

static void *receiver(void *argument)
{
    struct channel *channel = argument;

    for (int i = 0; i < ROUNDS; i++) {
        union {
            char buffer[CMSG_SPACE(2 * sizeof(int))];
            struct cmsghdr align;
        } control;
        int value, ends[2], back;
        struct iovec piece = { &value, sizeof(value) };
        struct msghdr message = { .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = control.buffer,
                                  .msg_controllen = sizeof(control.buffer) };

        CHECK_EQ(SYS(recvmsg(channel->fds[1], &message, MSG_CMSG_CLOEXEC)), sizeof(value));
        CHECK_EQ(value, channel->number * ROUNDS + i);
        CHECK_EQ(message.msg_flags & MSG_CTRUNC, 0);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        CHECK(header != NULL);
        CHECK_EQ(header->cmsg_type, SCM_RIGHTS);
        CHECK_EQ(header->cmsg_len, CMSG_LEN(2 * sizeof(int)));
        memcpy(ends, CMSG_DATA(header), sizeof(ends));
        CHECK_EQ(SYS(fcntl(ends[0], F_GETFD)), FD_CLOEXEC);
        /* The pipe works although the sender has closed its own ends. */
        write_all(ends[1], &value, sizeof(value));
        read_all(ends[0], &back, sizeof(back));
        CHECK_EQ(back, value);
        SYS(close(ends[0]));
        SYS(close(ends[1]));
    }
    return NULL;
}

int main(void)
{
    static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
    struct channel channels[PAIRS];
    pthread_t threads[2 * PAIRS];

    watchdog();
    for (int i = 0; i < PAIRS; i++) {
        channels[i].number = i;
        SYS(socketpair(AF_UNIX, types[i % 3], 0, channels[i].fds));
        threads[2 * i] = start(receiver, &channels[i]);
    }
    for (int i = 0; i < PAIRS; i++) {
        threads[2 * i + 1] = start(sender, &channels[i]);
    }
    for (int i = 0; i < 2 * PAIRS; i++) {
        finish(threads[i]);
    }
    return 0;
}
