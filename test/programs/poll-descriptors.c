/*
 * Threads that wait in poll for one socket, priority data included, as servers do between requests, take
 * no descriptors: with as many as the process may have, others can still be opened.
 */
#include "check.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/resource.h>

#define THREADS 100
#define SPARE   60 /* of which we want half back */

static int pairs[THREADS][2];
static int waiting;

static void *waits(void *argument)
{
    int *pair = argument;
    char byte;

    for (int i = 0; i < 2; i++) {
        struct pollfd p = { .fd = pair[0], .events = POLLIN | POLLPRI };

        __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
        CHECK_EQ(p.revents, POLLIN);
        CHECK_EQ(SYS(read(pair[0], &byte, 1)), 1);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int opened[SPARE / 2], highest = 0;
    struct rlimit limit;

    watchdog();
    for (int i = 0; i < THREADS; i++) {
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]));
        highest = pairs[i][1];
    }
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = (rlim_t)highest + 1 + SPARE;
    SYS(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(waits, pairs[i]);
    for (int round = 1; round <= 2; round++) {
        while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < THREADS * round)
            nap(1);
        nap(20);
        for (int i = 0; i < SPARE / 2; i++)
            opened[i] = SYS(dup(pairs[0][0]));
        for (int i = 0; i < SPARE / 2; i++)
            SYS(close(opened[i]));
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(SYS(write(pairs[i][1], "x", 1)), 1);
    }
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    return 0;
}
