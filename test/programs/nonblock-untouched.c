/*
 * O_NONBLOCK, which lives in the open file description and so is seen by other processes, never
 * appears on a descriptor that the program did not set it on: not while a thread waits in it and
 * not after (POSIX fcntl F_GETFL).
 */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int pair[2], ends[2], listener;
static struct sockaddr_in address;

static void *reads_pair(void *argument)
{
    char byte;

    read_all(pair[0], &byte, 1);
    return argument;
}

static void *reads_pipe(void *argument)
{
    char byte;

    read_all(ends[0], &byte, 1);
    return argument;
}

static void *accepts(void *argument)
{
    int fd = SYS(accept(listener, NULL, NULL));
    char byte;

    *(int *)argument = fd;
    read_all(fd, &byte, 1);
    return NULL;
}

static void check_flags(int fd)
{
    CHECK_EQ(SYS(fcntl(fd, F_GETFL)) & O_NONBLOCK, 0);
}

static void check_all(int client, int accepted)
{
    check_flags(pair[0]);
    check_flags(pair[1]);
    check_flags(ends[0]);
    check_flags(ends[1]);
    check_flags(listener);
    check_flags(client);
    if (accepted >= 0) {
        check_flags(accepted);
    }
    for (int fd = 0; fd < 3; fd++) {
        int flags = fcntl(fd, F_GETFL);
        CHECK(flags < 0 || (flags & O_NONBLOCK) == 0);
    }
}

int main(void)
{
    socklen_t length = sizeof(address);
    int accepted = -1;

    watchdog();
    for (int fd = 0; fd < 3; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && flags & O_NONBLOCK) {
            SKIP("a standard descriptor came with O_NONBLOCK");
        }
    }
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(pipe(ends));
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    address = (struct sockaddr_in){ .sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    SYS(listen(listener, 5));
    SYS(getsockname(listener, (struct sockaddr *)&address, &length));
    int client = SYS(socket(AF_INET, SOCK_STREAM, 0));

    pthread_t a = start(reads_pair, NULL);
    pthread_t b = start(reads_pipe, NULL);
    pthread_t c = start(accepts, &accepted);
    for (int i = 0; i < 20; i++) {
        nap(1);
        check_all(client, -1);
    }
    SYS(connect(client, (struct sockaddr *)&address, sizeof(address)));
    nap(10);
    check_all(client, -1);
    write_all(pair[1], "x", 1);
    write_all(ends[1], "x", 1);
    write_all(client, "x", 1);
    finish(a);
    finish(b);
    finish(c);
    check_all(client, accepted);
    return 0;
}
