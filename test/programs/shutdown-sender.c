/*
 * shutdown(SHUT_WR) by another thread ends a send that is blocked because the peer does not read:
 * what fitted is counted, and then the answer is EPIPE, on TCP and on Unix sockets
 * (POSIX shutdown).
 */
#include "check.h"

#include "pairs.h"

#include <stdatomic.h>

enum { ROUNDS = 10 };

static atomic_int full;

static void *sends(void *argument)
{
    static const char zeros[1 << 20];
    int fd = *(int *)argument;

    while (send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    full = 1;
    while (send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0) {
    }
    CHECK_EQ(errno, EPIPE);
    return NULL;
}

int main(void)
{
    watchdog();
    for (int i = 0; i < ROUNDS; i++) {
        int fds[2];

        pair_of(i % 2, fds);
        full = 0;
        pthread_t thread = start(sends, &fds[0]);
        while (!full) {
            nap(1);
        }
        nap(i);
        SYS(shutdown(fds[0], SHUT_WR));
        finish(thread);
        close_both(fds);
    }
    return 0;
}
