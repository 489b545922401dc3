/*
 * A thread per connection echo server and 200 client threads on the loopback: every byte comes
 * back to the client that sent it, in order, and end of file reaches both sides
 * (POSIX accept, connect, recv, send).
 */
#include "check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { CLIENTS = 200, MESSAGES = 25 };

static struct sockaddr_in address;
static int listener;

static void *serves(void *argument)
{
    int fd = *(int *)argument;
    char buffer[1500];
    ssize_t n;

    free(argument);
    SYS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
    while ((n = SYS(recv(fd, buffer, sizeof(buffer), 0))) > 0) {
        for (ssize_t done = 0; done < n;) {
            done += SYS(send(fd, buffer + done, (size_t)(n - done), MSG_NOSIGNAL));
        }
    }
    SYS(close(fd));
    return NULL;
}

static void *accepts(void *argument)
{
    pthread_t servers[CLIENTS];

    for (int i = 0; i < CLIENTS; i++) {
        int *fd = malloc(sizeof(*fd));

        *fd = SYS(accept(listener, NULL, NULL));
        servers[i] = start(serves, fd);
    }
    for (int i = 0; i < CLIENTS; i++) {
        finish(servers[i]);
    }
    return argument;
}

static void *client(void *argument)
{
    unsigned random = (unsigned)*(int *)argument * 7919 + 1;
    unsigned char out[3000], in[3000];
    int fd = SYS(socket(AF_INET, SOCK_STREAM, 0));

    SYS(connect(fd, (struct sockaddr *)&address, sizeof(address)));
    SYS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
    for (int i = 0; i < MESSAGES; i++) {
        random = random * 1103515245 + 12345;
        size_t size = 1 + random % sizeof(out);

        for (size_t k = 0; k < size; k++) {
            random = random * 1103515245 + 12345;
            out[k] = (unsigned char)(random >> 16);
        }
        write_all(fd, out, size);
        read_all(fd, in, size);
        CHECK_EQ(memcmp(in, out, size), 0);
    }
    SYS(shutdown(fd, SHUT_WR));
    CHECK_EQ(SYS(read(fd, in, 1)), 0);
    SYS(close(fd));
    return NULL;
}

int main(void)
{
    pthread_t threads[CLIENTS];
    int numbers[CLIENTS];
    socklen_t length = sizeof(address);

    watchdog();
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    address = (struct sockaddr_in){ .sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, CLIENTS));
    SYS(getsockname(listener, (struct sockaddr *)&address, &length));
    pthread_t acceptor = start(accepts, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        numbers[i] = i;
        threads[i] = start(client, &numbers[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        finish(threads[i]);
    }
    finish(acceptor);
    return 0;
}
