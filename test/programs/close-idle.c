/*
 * A descriptor on which a thread waits is closed by another thread when nothing else happens in the
 * process: close() comes back, and the wait goes on with what the descriptor was (close(2),
 * "multithreaded processes and close").
 */
#include "check.h"
#include <sys/socket.h>

enum { N = 4, ROUNDS = 40 };

static int pairs[N][2];

static void *receives(void *argument)
{
    int *pair = argument;
    char c = 0;
    ssize_t n = recv(pair[0], &c, 1, 0);

    /* With epoll, and only there, the wait may end with EBADF (README). */
    CHECK(n == 1 ? c == 'x' : n < 0 && errno == EBADF);
    return NULL;
}

int main(void)
{
    pthread_t threads[N];

    watchdog();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
            threads[i] = start(receives, pairs[i]);
        }
        nap(3);
        for (int i = 0; i < N; i++) {
            SYS(close(pairs[i][0]));
        }
        for (int i = 0; i < N; i++) {
            (void)!send(pairs[i][1], "x", 1, MSG_NOSIGNAL);
            finish(threads[i]);
            SYS(close(pairs[i][1]));
        }
    }
    return 0;
}
