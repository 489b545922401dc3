/* Threads poll and select thousands of descriptors, bad ones among them; each finds the one that is
 * ready, and no more. */
#include "check.h"

#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>

enum { MANY = 3000, THREADS = 4, ROUNDS = 8 };

static int fds[MANY][2], count;
static _Atomic int polled;

static void *poller(void *argument)
{
    long me = (long)argument;
    struct pollfd *all = calloc((size_t)count + 3, sizeof *all);
    char c;

    for (int i = 0; i < count; i++)
        all[i] = (struct pollfd){ fds[i][0], i % THREADS == me ? POLLIN : POLLPRI, 0 };
    all[count] = (struct pollfd){ -7, POLLIN, 77 };
    CHECK_EQ(SYS(poll(all, (nfds_t)count + 1, 1)), 0);
    CHECK_EQ(all[count].revents, 0);
    polled++;
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EQ(SYS(poll(all, (nfds_t)count + 1, -1)), 1);
        int ready = -1;
        for (int i = 0; i < count; i++)
            if (all[i].revents) {
                CHECK_EQ(all[i].revents, POLLIN);
                ready = i;
            }
        CHECK(ready >= 0 && ready % THREADS == me);
        CHECK_EQ(SYS(read(fds[ready][0], &c, 1)), 1);
        CHECK_EQ(SYS(send(fds[ready][0], &c, 1, 0)), 1); /* an answer */
    }
    /* One that is not open makes it return at once. */
    all[count] = (struct pollfd){ 1 << 20, POLLIN, 0 };
    all[count + 1] = all[0]; /* twice the same */
    CHECK_EQ(SYS(poll(all, (nfds_t)count + 2, -1)), 1);
    CHECK_EQ(all[count].revents, POLLNVAL);
    free(all);
    return NULL;
}

static void *selector(void *unused)
{
    fd_set set, before;
    int most = 0, p[2];

    SYS(pipe(p));
    FD_ZERO(&set);
    for (int i = 0; i < count; i++)
        if (fds[i][0] < FD_SETSIZE) {
            FD_SET(fds[i][0], &set);
            most = fds[i][0] > most ? fds[i][0] : most;
        }
    before = set;
    struct timeval tv = { 0, 5000 };
    CHECK_EQ(SYS(select(most + 1, &set, NULL, NULL, &tv)), 0);
    set = before;
    SYS(write(fds[0][1], "x", 1));
    CHECK_EQ(SYS(select(most + 1, &set, NULL, NULL, NULL)), 1);
    CHECK(FD_ISSET(fds[0][0], &set));
    CHECK_EQ(SYS(read(fds[0][0], &p, 1)), 1);
    FD_SET(FD_SETSIZE - 1, &set); /* not open */
    if (most < FD_SETSIZE - 1)
        FAILS(select(FD_SETSIZE, &set, NULL, NULL, NULL), EBADF);
    return unused;
}

int main(void)
{
    struct rlimit limit;
    pthread_t threads[THREADS];
    char c;

    watchdog();
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (count = 0; count < MANY && socketpair(AF_UNIX, SOCK_STREAM, 0, fds[count]) == 0;)
        count++;
    if (count < MANY) { /* room for what the calls need */
        count--;
        close(fds[count][0]);
        close(fds[count][1]);
    }
    count -= count % THREADS;
    if (count < 100)
        SKIP("too few descriptors");
    finish(start(selector, NULL));
    for (long i = 0; i < THREADS; i++)
        threads[i] = start(poller, (void *)i);
    while (polled < THREADS)
        nap(5);
    nap(10);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < THREADS; i++) {
            int at = (round * 977 * THREADS + i) % count;
            SYS(write(fds[at][1], "x", 1));
            CHECK_EQ(SYS(read(fds[at][1], &c, 1)), 1);
        }
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    return 0;
}
