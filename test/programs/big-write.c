/*
 * A blocking write of 4 MiB to a pipe, a Unix socket or a TCP socket with a slow reader transfers
 * everything in one call, and so do writev, send and sendmsg (POSIX write).
 */
#include "check.h"

#include "pairs.h"

#include <sys/uio.h>

enum { SIZE = 4 << 20, KINDS = 5 };

struct channel {
    int kind, from, to;
};

static unsigned char *data;

static void *writer(void *argument)
{
    struct channel *channel = argument;
    /* An awkward cut, so that a short count would end inside a piece. */
    struct iovec pieces[3] = { { data, 12345 }, { data + 12345, 1 << 20 }, { NULL, 0 } };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 3 };
    ssize_t n = 0;

    pieces[2].iov_base = data + 12345 + (1 << 20);
    pieces[2].iov_len = SIZE - 12345 - (1 << 20);
    switch (channel->kind) {
    case 0:
        n = SYS(write(channel->to, data, SIZE));
        break;
    case 1:
        n = SYS(writev(channel->to, pieces, 3));
        break;
    case 2:
        n = SYS(write(channel->to, data, SIZE));
        break;
    case 3:
        n = SYS(send(channel->to, data, SIZE, 0));
        break;
    case 4:
        n = SYS(sendmsg(channel->to, &message, 0));
        break;
    }
    CHECK_EQ(n, SIZE);
    SYS(close(channel->to));
    return NULL;
}

static void *reader(void *argument)
{
    struct channel *channel = argument;
    unsigned char *buffer = malloc(50000);
    size_t total = 0;
    ssize_t n;

    for (int i = 0; (n = SYS(read(channel->from, buffer, 50000))) > 0; i++) {
        CHECK_EQ(memcmp(buffer, data + total, (size_t)n), 0);
        total += (size_t)n;
        if (i % 8 == 0) {
            usleep(1000);
        }
    }
    CHECK_EQ(total, SIZE);
    SYS(close(channel->from));
    free(buffer);
    return NULL;
}

static void tcp_channel(struct channel *channel)
{
    int pair[2];

    tcp_pair(pair);
    channel->from = pair[0];
    channel->to = pair[1];
}

int main(void)
{
    struct channel channels[KINDS];
    pthread_t threads[2 * KINDS];

    watchdog();
    data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (unsigned char)(i * 2654435761u >> 11);
    }
    for (int i = 0; i < KINDS; i++) {
        int fds[2];

        channels[i].kind = i;
        if (i < 2) {
            SYS(pipe(fds));
        } else if (i == 2) {
            SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        }
        if (i < 3) {
            channels[i].from = fds[0];
            channels[i].to = fds[1];
        } else {
            tcp_channel(&channels[i]);
        }
    }
    for (int i = 0; i < KINDS; i++) {
        threads[2 * i] = start(writer, &channels[i]);
        threads[2 * i + 1] = start(reader, &channels[i]);
    }
    for (int i = 0; i < 2 * KINDS; i++) {
        finish(threads[i]);
    }
    return 0;
}
