/*
 * poll and select on a few descriptors from many threads: each call reports exactly what is ready,
 * whichever it is and however many become ready at once; a deadline comes in time, a signal ends the wait
 * with EINTR, the same descriptor may be named twice, one may be closed by another thread meanwhile, and
 * what is left behind by a wait disturbs none of the later ones (POSIX poll, select).
 */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>

enum { THREADS = 24, FEW = 8, ROUNDS = 300 };

struct pair {
    int fds[FEW][2];
    int n, number;
    volatile int mask; /* what the writer wrote to */
};

static void open_pair(int fds[2], int kind)
{
    if (kind % 2) {
        SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    } else {
        SYS(pipe(fds));
    }
}

static void *writes(void *argument)
{
    struct pair *p = argument;
    unsigned random = (unsigned)p->number * 2654435761u + 1;

    for (int round = 0; round < ROUNDS; round++) {
        char go;
        int mask;

        random = random * 1103515245 + 12345;
        mask = (int)(random >> 16) % ((1 << p->n) - 1) + 1;
        if (round % 3) {
            mask &= -mask; /* mostly one */
        }
        p->mask = mask;
        for (int i = 0; i < p->n; i++) {
            if (mask & 1 << i) {
                write_all(p->fds[i][1], "x", 1);
            }
        }
        /* All read: the last descriptor's other way tells. */
        read_all(p->fds[FEW - 1][1], &go, 1);
    }
    return NULL;
}

static int wait_few(struct pair *p, int with_select, int *found)
{
    *found = 0;
    if (with_select) {
        fd_set set;
        int most = 0, n;

        FD_ZERO(&set);
        for (int i = 0; i < p->n; i++) {
            FD_SET(p->fds[i][0], &set);
            most = p->fds[i][0] > most ? p->fds[i][0] : most;
        }
        n = SYS(select(most + 1, &set, NULL, NULL, NULL));
        for (int i = 0; i < p->n; i++) {
            *found |= FD_ISSET(p->fds[i][0], &set) ? 1 << i : 0;
        }
        return n;
    }
    struct pollfd polled[FEW + 1];

    for (int i = 0; i < p->n; i++) {
        polled[i] = (struct pollfd){ .fd = p->fds[i][0], .events = POLLIN };
    }
    polled[p->n] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = 77 };
    int n = SYS(poll(polled, (nfds_t)p->n + 1, -1));

    CHECK_EQ(polled[p->n].revents, 0);
    for (int i = 0; i < p->n; i++) {
        CHECK((polled[i].revents & ~POLLIN) == 0);
        *found |= polled[i].revents ? 1 << i : 0;
    }
    return n;
}

static void *reads(void *argument)
{
    struct pair *p = argument;

    for (int round = 0; round < ROUNDS; round++) {
        int seen = 0, mask = 0;

        do {
            int found, n = wait_few(p, (round + p->number) % 2, &found);

            CHECK_EQ(n, __builtin_popcount((unsigned)found));
            CHECK(n > 0);
            for (int i = 0; i < p->n; i++) {
                char byte;

                if (found & 1 << i) {
                    read_all(p->fds[i][0], &byte, 1);
                }
            }
            CHECK_EQ(seen & found, 0);
            seen |= found;
            mask = p->mask;
            CHECK_EQ(seen & ~mask, 0);
        } while (seen != mask);
        write_all(p->fds[FEW - 1][0], "g", 1);
    }
    return NULL;
}

static void exact(void)
{
    static struct pair pairs[THREADS];
    pthread_t threads[2 * THREADS];

    for (int t = 0; t < THREADS; t++) {
        pairs[t].number = t;
        pairs[t].n = 2 + t % (FEW - 2); /* never the last, a socket: it is the way back */
        for (int i = 0; i < FEW; i++) {
            open_pair(pairs[t].fds[i], i);
        }
        threads[2 * t] = start(reads, &pairs[t]);
        threads[2 * t + 1] = start(writes, &pairs[t]);
    }
    for (int t = 0; t < 2 * THREADS; t++) {
        finish(threads[t]);
    }
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < FEW; i++) {
            close(pairs[t].fds[i][0]);
            close(pairs[t].fds[i][1]);
        }
    }
}

/* A time limit is kept, and nothing of the wait is left: a later byte is seen by the later wait. */
static void *times_out(void *argument)
{
    int fds[3][2];

    (void)argument;
    for (int i = 0; i < 3; i++) {
        open_pair(fds[i], i);
    }
    for (int round = 0; round < 40; round++) {
        struct pollfd polled[3];
        struct timespec end = from_now(CLOCK_MONOTONIC, 3);
        char byte;

        for (int i = 0; i < 3; i++) {
            polled[i] = (struct pollfd){ .fd = fds[i][0], .events = POLLIN };
        }
        CHECK_EQ(SYS(poll(polled, 3, 3)), 0);
        CHECK(reached(CLOCK_MONOTONIC, end));
        write_all(fds[round % 3][1], "x", 1);
        CHECK_EQ(SYS(poll(polled, 3, -1)), 1);
        CHECK_EQ(polled[round % 3].revents, POLLIN);
        read_all(fds[round % 3][0], &byte, 1);
        CHECK_EQ(SYS(poll(polled, 3, 0)), 0);
    }
    for (int i = 0; i < 3; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    return NULL;
}

static volatile int waits, ended;

static void handler(int number)
{
    (void)number;
}

static void *is_interrupted(void *argument)
{
    struct pollfd polled[2];
    int(*fds)[2] = argument;

    for (int i = 0; i < 2; i++) {
        polled[i] = (struct pollfd){ .fd = fds[i][0], .events = POLLIN };
    }
    waits = 1;
    FAILS(poll(polled, 2, -1), EINTR);
    ended = 1;
    return NULL;
}

static void interrupted(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    int fds[2][2];

    SYS(sigaction(SIGUSR1, &action, NULL));
    open_pair(fds[0], 0);
    open_pair(fds[1], 1);
    for (int round = 0; round < 10; round++) {
        waits = ended = 0;
        pthread_t thread = start(is_interrupted, fds);

        while (!waits) {
            nap(1);
        }
        while (!ended) { /* the first may come before it waits */
            pthread_kill(thread, SIGUSR1);
            nap(2);
        }
        finish(thread);
    }
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

/* Descriptors as they come: one twice, bad ones, full and half-closed ones. */
static void *odd_ones(void *argument)
{
    int fds[2], other[2];
    char byte, block[4096] = { 0 };

    (void)argument;
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    SYS(pipe(other));
    struct pollfd twice[2] = { { fds[0], POLLIN, 0 }, { fds[0], POLLIN, 0 } };
    struct pollfd bad[2] = { { other[0], POLLIN, 0 }, { 1 << 19, POLLIN, 0 } };

    CHECK_EQ(SYS(poll(twice, 2, 5)), 0);
    write_all(fds[1], "x", 1);
    CHECK_EQ(SYS(poll(twice, 2, -1)), 2);
    read_all(fds[0], &byte, 1);
    CHECK_EQ(SYS(poll(bad, 2, -1)), 1);
    CHECK_EQ(bad[1].revents, POLLNVAL);
    /* No room, and the peer says no more: that is no news for who waits for room. */
    SYS(fcntl(fds[0], F_SETFL, O_NONBLOCK));
    while (write(fds[0], block, sizeof block) > 0) {
    }
    SYS(shutdown(fds[1], SHUT_WR));
    struct pollfd full[2] = { { fds[0], POLLOUT, 0 }, { other[0], POLLIN, 0 } };
    struct timespec before, after;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    CHECK_EQ(SYS(poll(full, 2, 60)), 0);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec <
          40000000);
    full[0].events |= POLLRDHUP;
    CHECK_EQ(SYS(poll(full, 2, -1)), 1);
    CHECK_EQ(full[0].revents, POLLRDHUP);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(other[i]);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[8];

    watchdog();
    for (int i = 0; i < 8; i++) {
        threads[i] = start(i % 2 ? times_out : odd_ones, NULL);
    }
    for (int i = 0; i < 8; i++) {
        finish(threads[i]);
    }
    exact();
    interrupted();
    return 0;
}
