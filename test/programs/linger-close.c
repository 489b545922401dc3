/* close() of a socket with SO_LINGER waits until its data is gone, for many threads at a time, and so
 * the peer gets all of it; with a linger time of 0 the peer sees a reset. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { PAIRS = 16, SIZE = 600000 };

static struct sockaddr_in at = { .sin_family = AF_INET };
static int listener;

static void *closer(void *argument)
{
    int fd = *(int *)argument;
    struct linger l = { 1, 30 };
    char *data = calloc(1, SIZE);

    SYS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
    write_all(fd, data, SIZE);
    SYS(close(fd));
    free(data);
    return NULL;
}

static void *reader(void *argument)
{
    int fd = *(int *)argument;
    char *data = malloc(SIZE);
    long n, total = 0;

    nap(30);
    while ((n = SYS(read(fd, data, 50000))) > 0)
        total += n;
    CHECK_EQ(total, SIZE);
    SYS(close(fd));
    free(data);
    return NULL;
}

static void pair(int ends[2])
{
    ends[0] = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(connect(ends[0], (struct sockaddr *)&at, sizeof at));
    ends[1] = SYS(accept(listener, NULL, NULL));
}

int main(void)
{
    static int ends[PAIRS][2];
    pthread_t threads[PAIRS][2];
    socklen_t len = sizeof at;
    struct linger now = { 1, 0 };
    char c;

    watchdog();
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SYS(bind(listener, (struct sockaddr *)&at, sizeof at));
    SYS(getsockname(listener, (struct sockaddr *)&at, &len));
    SYS(listen(listener, 64));
    for (int i = 0; i < PAIRS; i++) {
        pair(ends[i]);
        threads[i][0] = start(closer, &ends[i][0]);
        threads[i][1] = start(reader, &ends[i][1]);
    }
    for (int i = 0; i < PAIRS; i++) {
        finish(threads[i][0]);
        finish(threads[i][1]);
    }
    pair(ends[0]);
    SYS(setsockopt(ends[0][0], SOL_SOCKET, SO_LINGER, &now, sizeof now));
    SYS(close(ends[0][0]));
    FAILS(read(ends[0][1], &c, 1), ECONNRESET);
    return 0;
}
