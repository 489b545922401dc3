/*
 * UDP: recvfrom waits and tells the sender's address, sendto answers it, a datagram longer than
 * the buffer is cut, connected sockets see ECONNREFUSED, recvmmsg and sendmmsg transfer several
 * (POSIX recvfrom; udp(7)).
 */
#include "check.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { CLIENTS = 20, ROUNDS = 30 };

static struct sockaddr_in server_address;
static int server;

static int bound(struct sockaddr_in *address)
{
    int fd = SYS(socket(AF_INET, SOCK_DGRAM, 0));
    socklen_t length = sizeof(*address);

    *address = (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    SYS(bind(fd, (struct sockaddr *)address, sizeof(*address)));
    SYS(getsockname(fd, (struct sockaddr *)address, &length));
    return fd;
}

static void *serves(void *argument)
{
    for (int i = 0; i < CLIENTS * ROUNDS; i++) {
        struct sockaddr_in from;
        socklen_t length = sizeof(from);
        int message[2];

        CHECK_EQ(
            SYS(recvfrom(server, message, sizeof(message), 0, (struct sockaddr *)&from, &length)),
            sizeof(message));
        CHECK_EQ(length, sizeof(from));
        message[1]++;
        CHECK_EQ(SYS(sendto(server, message, sizeof(message), 0, (struct sockaddr *)&from, length)),
                 sizeof(message));
    }
    return argument;
}

static void *client(void *argument)
{
    struct sockaddr_in mine, from;
    int fd = bound(&mine);

    for (int i = 0; i < ROUNDS; i++) {
        int message[2] = { (int)(long)argument, i };
        socklen_t length = sizeof(from);

        SYS(sendto(fd, message, sizeof(message), 0, (struct sockaddr *)&server_address,
                   sizeof(server_address)));
        CHECK_EQ(SYS(recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &length)),
                 sizeof(message));
        CHECK_EQ(from.sin_port, server_address.sin_port);
        CHECK_EQ(message[0], (int)(long)argument);
        CHECK_EQ(message[1], i + 1);
    }
    SYS(close(fd));
    return NULL;
}

static void *receives_several(void *argument)
{
    int fd = *(int *)argument, values[3], got = 0;

    while (got < 3) {
        struct iovec pieces[3];
        struct mmsghdr messages[3];

        memset(messages, 0, sizeof(messages));
        for (int i = 0; i < 3; i++) {
            pieces[i] = (struct iovec){ &values[i], sizeof(int) };
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        int n = (int)SYS(recvmmsg(fd, messages, 3 - (unsigned)got, MSG_WAITFORONE, NULL));
        for (int i = 0; i < n; i++) {
            CHECK_EQ(messages[i].msg_len, sizeof(int));
            CHECK_EQ(values[i], got + i);
        }
        got += n;
    }
    return NULL;
}

int main(void)
{
    pthread_t other;
    int values[3] = { 0, 1, 2 };
    struct sockaddr_in address, gone;
    char small[4];

    watchdog();
    server = bound(&server_address);
    other = start(serves, NULL);
    run_threads(CLIENTS, client);
    finish(other);

    int a = bound(&address), b = bound(&gone);
    SYS(connect(b, (struct sockaddr *)&address, sizeof(address)));
    SYS(send(b, "truncated", 9, 0));
    CHECK_EQ(SYS(recv(a, small, sizeof(small), MSG_TRUNC)), 9);
    CHECK_EQ(memcmp(small, "trun", 4), 0);
    SYS(send(b, "", 0, 0));
    CHECK_EQ(SYS(recv(a, small, sizeof(small), 0)), 0);

    other = start(receives_several, &a);
    nap(5);
    struct iovec pieces[3];
    struct mmsghdr messages[3];
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < 3; i++) {
        pieces[i] = (struct iovec){ &values[i], sizeof(int) };
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(SYS(sendmmsg(b, messages, 3, 0)), 3);
    finish(other);

    /* The port of a closed socket refuses; the error comes back to the connected sender. */
    SYS(connect(a, (struct sockaddr *)&gone, sizeof(gone)));
    SYS(close(b));
    SYS(send(a, "x", 1, 0));
    FAILS(recv(a, small, 1, 0), ECONNREFUSED);
    return 0;
}
