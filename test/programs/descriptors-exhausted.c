/* With no descriptor left, EMFILE reaches the program from every call that makes one, and everything
 * else goes on: threads start, read, write, poll several descriptors, lock and sleep. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { THREADS = 20 };

static int p[2], q[2], listener;
static _Atomic int polled;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *poller(void *unused)
{
    struct pollfd fds[3] = { { p[0], POLLIN, 0 }, { q[0], POLLIN, 0 }, { -1, POLLIN, 0 } };
    fd_set set;

    CHECK_EQ(SYS(poll(fds, 3, 5)), 0);
    polled++;
    CHECK_EQ(SYS(poll(fds, 3, -1)), 1);
    CHECK_EQ(fds[1].revents, POLLIN);
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    FD_SET(q[0], &set);
    CHECK_EQ(SYS(select(q[0] + 1, &set, NULL, NULL, NULL)), 1);
    CHECK(FD_ISSET(q[0], &set) && !FD_ISSET(p[0], &set));
    return unused;
}

static void *reader(void *unused)
{
    char c;

    OK(pthread_mutex_lock(&lock));
    nap(1);
    OK(pthread_mutex_unlock(&lock));
    CHECK_EQ(SYS(read(p[0], &c, 1)), 1);
    return unused;
}

int main(void)
{
    struct rlimit limit;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    pthread_t threads[THREADS], pollers[THREADS];
    int pair[2], spare, n = 0;

    watchdog();
    snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "descriptors-exhausted-%d", getpid());
    SYS(pipe(p));
    SYS(pipe(q));
    listener = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(listen(listener, 5));
    spare = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(connect(spare, (struct sockaddr *)&at, sizeof at));
    /* Threads exist before, and start after. */
    for (int i = 0; i < THREADS / 2; i++)
        threads[i] = start(reader, NULL);
    SYS(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    SYS(setrlimit(RLIMIT_NOFILE, &limit));
    while (dup(p[0]) >= 0)
        n++;
    CHECK_EQ(errno, EMFILE);
    CHECK(n > 0);
    FAILS(open("/dev/null", O_RDONLY), EMFILE);
    FAILS(creat("/dev/null", 0600), EMFILE);
    FAILS(accept(listener, NULL, NULL), EMFILE);
    FAILS(accept4(listener, NULL, NULL, SOCK_CLOEXEC), EMFILE);
    FAILS(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    FAILS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EMFILE);
    FAILS(pipe(pair), EMFILE);
    FAILS(epoll_create1(0), EMFILE);
    FAILS(fcntl(p[0], F_DUPFD, 0), EMFILE);
    CHECK(fopen("/dev/null", "r") == NULL && errno == EMFILE);
    for (int i = THREADS / 2; i < THREADS; i++)
        threads[i] = start(reader, NULL);
    for (int i = 0; i < THREADS; i++)
        pollers[i] = start(poller, NULL);
    while (polled < THREADS)
        nap(5);
    SYS(write(q[1], "x", 1));
    for (int i = 0; i < THREADS; i++)
        finish(pollers[i]);
    for (int i = 0; i < THREADS; i++)
        SYS(write(p[1], "x", 1));
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    /* The connection is still there for whoever has a descriptor. */
    SYS(close(q[1]));
    SYS(accept(listener, NULL, NULL));
    return 0;
}
