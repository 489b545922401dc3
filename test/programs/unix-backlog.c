/* connect() to a local socket whose backlog is full waits until somebody accepts, for many threads at a
 * time; O_NONBLOCK and SO_SNDTIMEO end that with EAGAIN, the listener's end with ECONNREFUSED or a
 * reset. */
#include "check.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

enum { THREADS = 30 };

static struct sockaddr_un at = { .sun_family = AF_UNIX };
static _Atomic int connected;

static int client(void)
{
    return SYS(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void *connector(void *argument)
{
    int fd = client(), got;

    SYS(connect(fd, (struct sockaddr *)&at, sizeof at));
    connected++;
    int mine = (int)(long)argument;
    write_all(fd, &mine, sizeof mine);
    read_all(fd, &got, sizeof got);
    CHECK_EQ(got, mine);
    SYS(close(fd));
    return NULL;
}

static void *late(void *unused)
{
    int fd = client();

    if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
        CHECK(errno == ECONNREFUSED || errno == ECONNRESET);
    SYS(close(fd));
    return unused;
}

static void *body(void *unused)
{
    int listener = client(), fd;
    pthread_t threads[THREADS];
    struct timeval tv = { 0, 20000 };

    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(listen(listener, 1));
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(connector, (void *)(long)i);
    while (connected < 2)
        nap(2);
    fd = client();
    SYS(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv));
    FAILS(connect(fd, (struct sockaddr *)&at, sizeof at), EAGAIN);
    SYS(fcntl(fd, F_SETFL, O_NONBLOCK));
    FAILS(connect(fd, (struct sockaddr *)&at, sizeof at), EAGAIN);
    SYS(close(fd));
    CHECK(connected < THREADS);
    for (int i = 0; i < THREADS; i++) {
        int got;

        fd = SYS(accept(listener, NULL, NULL));
        read_all(fd, &got, sizeof got);
        write_all(fd, &got, sizeof got);
        SYS(close(fd));
    }
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    for (int i = 0; i < 5; i++)
        threads[i] = start(late, NULL);
    nap(20);
    SYS(close(listener));
    for (int i = 0; i < 5; i++)
        finish(threads[i]);
    return unused;
}

int main(void)
{
    watchdog();
    snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "unix-backlog-%d", getpid());
    finish(start(body, NULL));
    return 0;
}
