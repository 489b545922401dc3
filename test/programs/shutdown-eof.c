/*
 * shutdown() by another thread, and the peer's close, wake threads blocked in recv, read and
 * accept on that descriptor (POSIX shutdown; Linux for listeners).
 */
#include "check.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { ROUNDS = 20 };

static int pair[2], ends[2], listener;

static void *receives(void *argument)
{
    char byte;

    CHECK_EQ(SYS(recv(pair[0], &byte, 1, 0)), 0);
    return argument;
}

static void *reads(void *argument)
{
    char byte;

    CHECK_EQ(SYS(read(ends[0], &byte, 1)), 0);
    return argument;
}

static void *accepts(void *argument)
{
    FAILS(accept(listener, NULL, NULL), EINVAL);
    return argument;
}

int main(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    watchdog();
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t threads[5];

        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        SYS(pipe(ends));
        listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
        SYS(bind(listener, (struct sockaddr *)&address, sizeof(address)));
        SYS(listen(listener, 1));
        threads[0] = start(receives, NULL);
        threads[1] = start(receives, NULL);
        threads[2] = start(reads, NULL);
        threads[3] = start(accepts, NULL);
        threads[4] = start(accepts, NULL);
        if (i % 2) {
            nap(5);
        }
        SYS(i % 4 < 2 ? shutdown(pair[0], SHUT_RDWR) : shutdown(pair[1], SHUT_WR));
        SYS(close(ends[1]));
        SYS(shutdown(listener, SHUT_RDWR));
        for (int k = 0; k < 5; k++) {
            finish(threads[k]);
        }
        close(pair[0]);
        close(pair[1]);
        close(ends[0]);
        close(listener);
    }
    return 0;
}
