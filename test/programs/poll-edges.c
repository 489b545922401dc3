/*
 * poll's special answers: POLLNVAL, POLLHUP, POLLERR, POLLOUT, regular files, time-outs that are
 * never early, no descriptors at all, ppoll with a bad time (POSIX poll).
 */
#include "check.h"

#include <poll.h>
#include <sys/socket.h>

static void *hangs_up(void *argument)
{
    nap(10);
    SYS(close(*(int *)argument));
    return NULL;
}

static void *body(void *argument)
{
    struct pollfd p[3];
    struct timespec t, bad = { 0, -1 };
    int ends[2], pair[2], closed;

    SYS(pipe(ends));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    /* A number that is surely free: far above all that the other threads use. */
    closed = 900;

    p[0] = (struct pollfd){ .fd = closed, .events = POLLIN };
    CHECK_EQ(poll(p, 1, -1), 1);
    CHECK_EQ(p[0].revents, POLLNVAL);
    p[1] = (struct pollfd){ .fd = ends[1], .events = POLLOUT };
    p[2] = (struct pollfd){ .fd = ends[0], .events = POLLIN };
    CHECK_EQ(poll(p, 3, 1000), 2);
    CHECK_EQ(p[0].revents, POLLNVAL);
    CHECK_EQ(p[1].revents, POLLOUT);
    CHECK_EQ(p[2].revents, 0);

    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(poll(&p[2], 1, 20), 0);
    CHECK(reached(CLOCK_MONOTONIC, t));
    CHECK_EQ(p[2].revents, 0);
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(poll(NULL, 0, 20), 0);
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = from_now(CLOCK_MONOTONIC, 20);
    CHECK_EQ(ppoll(&p[2], 1, &(struct timespec){ 0, 20000000 }, NULL), 0);
    CHECK(reached(CLOCK_MONOTONIC, t));
    CHECK_EQ(poll(&p[2], 1, 0), 0);
    FAILS(ppoll(&p[2], 1, &bad, NULL), EINVAL);
    p[0].fd = -1;
    CHECK_EQ(poll(p, 1, 1), 0);
    CHECK_EQ(p[0].revents, 0);

    /* The writer leaves while the reader waits; then the reader leaves. */
    pthread_t other = start(hangs_up, &ends[1]);
    CHECK_EQ(poll(&p[2], 1, -1), 1);
    CHECK_EQ(p[2].revents, POLLHUP);
    finish(other);
    SYS(close(ends[0]));
    SYS(pipe(ends));
    SYS(close(ends[0]));
    p[1].fd = ends[1];
    CHECK_EQ(poll(&p[1], 1, -1), 1);
    CHECK(p[1].revents & POLLERR);
    SYS(close(ends[1]));

    p[0] = (struct pollfd){ .fd = pair[0], .events = POLLIN | POLLRDHUP };
    other = start(hangs_up, &pair[1]);
    CHECK_EQ(poll(p, 1, -1), 1);
    CHECK(p[0].revents & POLLIN);
    CHECK(p[0].revents & POLLRDHUP);
    CHECK(p[0].revents & POLLHUP);
    finish(other);
    SYS(close(pair[0]));

    FILE *file = tmpfile();
    p[0] = (struct pollfd){ .fd = fileno(file), .events = POLLIN | POLLOUT };
    CHECK_EQ(poll(p, 1, -1), 1);
    CHECK_EQ(p[0].revents, POLLIN | POLLOUT);
    fclose(file);
    return argument;
}

int main(void)
{
    watchdog();
    body(NULL);
    run_threads(8, body);
    return 0;
}
