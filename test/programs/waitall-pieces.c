/*
 * recv and recvmsg with MSG_WAITALL put together what comes in pieces: into several buffers, on TCP and
 * local sockets, with two readers, with SO_RCVLOWAT, with MSG_PEEK. What is of no use together stays apart:
 * they stop at TCP's urgent mark and after descriptors that were passed on.
 */
#include "check.h"

#include "pairs.h"

#include <sys/ioctl.h>

enum { ROUNDS = 40, PARTS = 5, READERS = 2 };

static int queued(int fd)
{
    int n;

    SYS(ioctl(fd, FIONREAD, &n));
    return n;
}

/* Until the reader has taken what was sent. */
static void drained(int fd)
{
    while (queued(fd))
        nap(1);
}

/* ---- several buffers */

static unsigned char byte_at(int i)
{
    return (unsigned char)(i * 7 + i / 256);
}

static void *receives_parts(void *argument)
{
    int fd = *(int *)argument;
    unsigned char data[PARTS][100];
    struct iovec parts[PARTS];
    char name[128];

    for (int round = 0; round < ROUNDS; round++) {
        int sizes[PARTS] = { 100, 1, 0, 64, 35 }, at = round * 200;

        for (int i = 0; i < PARTS; i++)
            parts[i] = (struct iovec){ data[i], (size_t)sizes[i] };
        struct msghdr m = {
            .msg_name = name,
            .msg_namelen = sizeof name,
            .msg_iov = parts,
            .msg_iovlen = PARTS,
            .msg_flags = -1,
        };
        CHECK_EQ(SYS(recvmsg(fd, &m, MSG_WAITALL)), 200);
        CHECK_EQ(m.msg_flags, 0);
        CHECK_EQ(m.msg_namelen, 0);
        CHECK_EQ(m.msg_controllen, 0);
        for (int i = 0; i < PARTS; i++) {
            CHECK(parts[i].iov_base == data[i]);
            CHECK_EQ(parts[i].iov_len, sizes[i]);
            for (int j = 0; j < sizes[i]; j++)
                CHECK_EQ(data[i][j], byte_at(at++));
        }
    }
    return NULL;
}

static void several_buffers(int tcp)
{
    int pair[2], sent = 0;

    pair_of(tcp, pair);
    pthread_t reader = start(receives_parts, &pair[0]);
    while (sent < ROUNDS * 200) {
        unsigned char data[250];
        int n = 1 + (sent * 13) % 250;

        n = n < ROUNDS * 200 - sent ? n : ROUNDS * 200 - sent;
        for (int i = 0; i < n; i++)
            data[i] = byte_at(sent + i);
        write_all(pair[1], data, (size_t)n);
        sent += n;
        if (sent % 3 == 0)
            drained(pair[0]);
    }
    finish(reader);
    close_both(pair);
}

/* ---- two readers */

struct share {
    int fd;
    long sum, count;
};

static void *receives_share(void *argument)
{
    struct share *share = argument;
    unsigned char data[10];
    ssize_t n;

    while ((n = SYS(recv(share->fd, data, sizeof data, MSG_WAITALL))) > 0)
        for (int i = 0; i < n; i++) {
            share->sum += data[i];
            share->count++;
        }
    return NULL;
}

static void two_readers(int tcp)
{
    struct share shares[READERS] = { 0 };
    pthread_t readers[READERS];
    long sum = 0, count = 0;
    int pair[2];

    pair_of(tcp, pair);
    for (int i = 0; i < READERS; i++) {
        shares[i].fd = pair[0];
        readers[i] = start(receives_share, &shares[i]);
    }
    for (int i = 0; i < 1000; i++) {
        unsigned char data[7];

        for (int j = 0; j < 7; j++)
            sum += data[j] = byte_at(i * 7 + j);
        write_all(pair[1], data, sizeof data);
        if (i % 16 == 0)
            nap(1);
    }
    SYS(shutdown(pair[1], SHUT_WR));
    for (int i = 0; i < READERS; i++) {
        finish(readers[i]);
        sum -= shares[i].sum;
        count += shares[i].count;
    }
    CHECK_EQ(count, 7000);
    CHECK_EQ(sum, 0);
    close_both(pair);
}

/* ---- what ends it early, or does not */

struct one {
    int fd, flags, want, got;
    char data[200];
};

static void *receives(void *argument)
{
    struct one *one = argument;

    one->got = (int)SYS(recv(one->fd, one->data, (size_t)one->want, MSG_WAITALL | one->flags));
    return NULL;
}

/* On TCP the kernel itself does not wake the reader for less. */
static void low_water(void)
{
    struct one one = { .want = 150 };
    int pair[2], low = 100;
    char data[150] = { 0 };

    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    one.fd = pair[0];
    SYS(setsockopt(pair[0], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low));
    pthread_t reader = start(receives, &one);
    write_all(pair[1], data, 100);
    drained(pair[0]);
    write_all(pair[1], data, 50);
    finish(reader);
    CHECK_EQ(one.got, 150);
    close_both(pair);
}

static void peek(int tcp)
{
    struct one one = { .want = 4, .flags = MSG_PEEK };
    int pair[2];
    char data[4];

    pair_of(tcp, pair);
    one.fd = pair[0];
    pthread_t reader = start(receives, &one);
    for (int i = 0; i < 4; i++) {
        write_all(pair[1], &"look"[i], 1);
        nap(2);
    }
    finish(reader);
    CHECK(one.got >= 1 && !memcmp(one.data, "look", (size_t)one.got));
    read_all(pair[0], data, 4);
    CHECK_EQ(memcmp(data, "look", 4), 0);
    close_both(pair);
}

static void urgent_mark(int late)
{
    struct one one = { .want = 10 };
    int pair[2];
    char data[8];

    tcp_pair(pair);
    one.fd = pair[0];
    pthread_t reader = start(receives, &one);
    write_all(pair[1], "abc", 3);
    if (late)
        drained(pair[0]); /* the reader waits in the middle */
    CHECK_EQ(SYS(send(pair[1], "!", 1, MSG_OOB)), 1);
    if (!late)
        write_all(pair[1], "defghijk", 8);
    finish(reader);
    CHECK_EQ(one.got, 3);
    CHECK_EQ(memcmp(one.data, "abc", 3), 0);
    if (late)
        write_all(pair[1], "defghijk", 8);
    read_all(pair[0], data, 8);
    CHECK_EQ(memcmp(data, "defghijk", 8), 0);
    close_both(pair);
}

static void send_with_fd(int to, const char *data, int fd)
{
    struct iovec part = { (void *)(uintptr_t)data, strlen(data) };
    union {
        char room[CMSG_SPACE(sizeof fd)];
        struct cmsghdr align;
    } control;
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = control.room,
                        .msg_controllen = sizeof control.room };

    memset(&control, 0, sizeof control);
    CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
    CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
    CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
    CHECK_EQ(SYS(sendmsg(to, &m, 0)), strlen(data));
}

static void *receives_fd(void *argument)
{
    struct one *one = argument;
    struct iovec part = { one->data, 10 };
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = control.room,
                        .msg_controllen = sizeof control.room };

    one->got = (int)SYS(recvmsg(one->fd, &m, MSG_WAITALL | MSG_CMSG_CLOEXEC));
    CHECK_EQ(m.msg_controllen, sizeof control.room);
    CHECK_EQ(CMSG_FIRSTHDR(&m)->cmsg_type, SCM_RIGHTS);
    CHECK_EQ(m.msg_flags, MSG_CMSG_CLOEXEC);
    return NULL;
}

/* with: the reader has room for the descriptor. */
static void passed_on(int with)
{
    struct one one = { .want = 10 };
    int pair[2];

    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    one.fd = pair[0];
    pthread_t reader = start(with ? receives_fd : receives, &one);
    write_all(pair[1], "ab", 2);
    drained(pair[0]);
    send_with_fd(pair[1], "cd", pair[1]);
    finish(reader);
    CHECK_EQ(one.got, 4);
    CHECK_EQ(memcmp(one.data, "abcd", 4), 0);
    close_both(pair);
}

int main(void)
{
    watchdog();
    for (int tcp = 0; tcp < 2; tcp++) {
        several_buffers(tcp);
        two_readers(tcp);
        peek(tcp);
    }
    low_water();
    urgent_mark(0);
    urgent_mark(1);
    passed_on(0);
    passed_on(1);
    return 0;
}
