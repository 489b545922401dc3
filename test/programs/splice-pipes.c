/* splice, tee and vmsplice block on empty and full pipes like read and write, for many threads at a
 * time, move every byte, and see the end of the pipe; errors come at once. */
#include "check.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { PAIRS = 40, SIZE = 200000 };

struct pair {
    int from[2], to[2], copy[2];
};

static void *mover(void *argument)
{
    struct pair *p = argument;
    size_t done = 0;

    for (;;) {
        ssize_t n = SYS(splice(p->from[0], NULL, p->to[1], NULL, 65536, 0));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    CHECK_EQ(done, SIZE);
    SYS(close(p->to[1]));
    return NULL;
}

static void *duplicator(void *argument)
{
    struct pair *p = argument;
    size_t done = 0;
    char drop[4096];

    for (;;) {
        ssize_t n = SYS(tee(p->to[0], p->copy[1], sizeof drop, 0));
        if (n == 0)
            break;
        read_all(p->to[0], drop, (size_t)n);
        done += (size_t)n;
    }
    CHECK_EQ(done, SIZE);
    SYS(close(p->copy[1]));
    return NULL;
}

static void *producer(void *argument)
{
    struct pair *p = argument;
    unsigned char *data = malloc(SIZE);
    struct iovec iov = { data, SIZE };

    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 11 + i / 4096);
    while (iov.iov_len) {
        ssize_t n = SYS(vmsplice(p->from[1], &iov, 1, 0));
        iov.iov_base = (char *)iov.iov_base + n;
        iov.iov_len -= (size_t)n;
    }
    SYS(close(p->from[1]));
    return data; /* the pipes may still refer to these pages */
}

static void *consumer(void *argument)
{
    struct pair *p = argument;
    unsigned char data[1000];
    size_t done = 0;
    ssize_t n;

    while ((n = SYS(read(p->copy[0], data, sizeof data))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(data[i], (unsigned char)((done + (size_t)i) * 11 + (done + (size_t)i) / 4096));
        done += (size_t)n;
        if (done % 7000 < 1000)
            sched_yield();
    }
    CHECK_EQ(done, SIZE);
    return NULL;
}

static void *errors(void *unused)
{
    int p[2], q[2], s[2];
    off64_t zero = 0;

    SYS(pipe(p));
    SYS(pipe(q));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    FAILS(splice(p[0], &zero, q[1], NULL, 10, 0), ESPIPE);
    FAILS(splice(s[0], NULL, s[1], NULL, 10, 0), EINVAL);
    FAILS(splice(p[0], NULL, p[1], NULL, 10, 0), EINVAL);
    FAILS(splice(p[0], NULL, q[1], NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    FAILS(splice(-1, NULL, q[1], NULL, 10, 0), EBADF);
    FAILS(tee(p[0], q[1], 10, SPLICE_F_NONBLOCK), EAGAIN);
    FAILS(tee(s[0], q[1], 10, 0), EINVAL);
    CHECK_EQ(splice(p[0], NULL, q[1], NULL, 0, 0), 0);
    SYS(fcntl(p[0], F_SETFL, O_NONBLOCK));
    FAILS(splice(p[0], NULL, q[1], NULL, 10, 0), EAGAIN);
    FAILS(tee(p[0], q[1], 10, 0), EAGAIN);
    SYS(close(p[1]));
    CHECK_EQ(splice(p[0], NULL, q[1], NULL, 10, 0), 0);
    return unused;
}

/* A socket as either side. */
static void *from_socket(void *argument)
{
    int *s = argument, p[2];
    char data[16];

    SYS(pipe(p));
    CHECK_EQ(SYS(splice(s[0], NULL, p[1], NULL, 16, 0)), 5);
    read_all(p[0], data, 5);
    CHECK(memcmp(data, "hello", 5) == 0);
    CHECK_EQ(SYS(splice(s[0], NULL, p[1], NULL, 16, 0)), 0);
    return NULL;
}

int main(void)
{
    static struct pair pairs[PAIRS];
    pthread_t threads[PAIRS][4], thread;
    int s[2], p[2];

    watchdog();
    finish(start(errors, NULL));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    thread = start(from_socket, s);
    nap(10);
    SYS(pipe(p));
    write_all(p[1], "hello", 5);
    CHECK_EQ(SYS(splice(p[0], NULL, s[1], NULL, 100, 0)), 5);
    nap(10);
    SYS(shutdown(s[1], SHUT_WR));
    finish(thread);
    for (int i = 0; i < PAIRS; i++) {
        SYS(pipe(pairs[i].from));
        SYS(pipe(pairs[i].to));
        SYS(pipe(pairs[i].copy));
        threads[i][0] = start(consumer, &pairs[i]);
        threads[i][1] = start(duplicator, &pairs[i]);
        threads[i][2] = start(mover, &pairs[i]);
    }
    for (int i = 0; i < PAIRS; i++)
        threads[i][3] = start(producer, &pairs[i]);
    for (int i = 0; i < PAIRS; i++) {
        void *data = finish(threads[i][3]);
        finish(threads[i][2]);
        finish(threads[i][1]);
        finish(threads[i][0]);
        free(data);
        SYS(close(pairs[i].from[0]));
        SYS(close(pairs[i].to[0]));
        SYS(close(pairs[i].copy[0]));
    }
    return 0;
}
