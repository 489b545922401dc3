/* Opening a FIFO waits for the other end, for many threads at a time, while others work; O_NONBLOCK
 * answers at once; a handler ends the wait. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

enum { PAIRS = 24 };

static char dir[] = "fifo-open-XXXXXX";
static _Atomic int state;

static void on_signal(int sig)
{
    (void)sig;
}

static void name(long i, char *path)
{
    snprintf(path, 64, "%s/%ld", dir, i);
}

static void *reader(void *argument)
{
    char path[64], data[6];

    name((long)argument, path);
    int fd = SYS(open(path, O_RDONLY));
    read_all(fd, data, 6);
    CHECK(memcmp(data, "hello", 6) == 0);
    CHECK_EQ(SYS(read(fd, data, 1)), 0);
    SYS(close(fd));
    return NULL;
}

static void *writer(void *argument)
{
    char path[64];

    name((long)argument, path);
    int fd = (long)argument % 2 ? SYS(openat(AT_FDCWD, path, O_WRONLY)) : SYS(open(path, O_WRONLY));
    write_all(fd, "hello", 6);
    SYS(close(fd));
    return NULL;
}

static void *interrupted(void *unused)
{
    char path[64];

    name(0, path);
    state = 1;
    FAILS(open(path, O_RDONLY), EINTR);
    state = 2;
    return unused;
}

static void *worker(void *argument)
{
    int *p = argument;
    char c = 'x';

    for (int i = 0; i < 200; i++) {
        SYS(write(p[1], &c, 1));
        CHECK_EQ(SYS(read(p[0], &c, 1)), 1);
    }
    return NULL;
}

int main(void)
{
    pthread_t readers[PAIRS], writers[PAIRS], thread;
    struct sigaction action = { .sa_handler = on_signal };
    char path[64];
    int p[2], fd;

    watchdog();
    CHECK(mkdtemp(dir));
    for (long i = 0; i < PAIRS; i++) {
        name(i, path);
        SYS(mkfifo(path, 0600));
    }
    SYS(pipe(p));
    for (long i = 0; i < PAIRS; i++)
        readers[i] = start(reader, (void *)i);
    finish(start(worker, p));
    for (long i = 0; i < PAIRS; i++)
        writers[i] = start(writer, (void *)i);
    for (int i = 0; i < PAIRS; i++) {
        finish(writers[i]);
        finish(readers[i]);
    }
    for (long i = 0; i < PAIRS; i++) /* now the other end first */
        writers[i] = start(writer, (void *)i);
    finish(start(worker, p));
    for (long i = 0; i < PAIRS; i++)
        finish(start(reader, (void *)i));
    for (int i = 0; i < PAIRS; i++)
        finish(writers[i]);
    name(0, path);
    FAILS(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    fd = SYS(open(path, O_RDONLY | O_NONBLOCK));
    SYS(close(fd));
    sigaction(SIGUSR1, &action, NULL);
    thread = start(interrupted, NULL);
    while (state < 2) {
        nap(5);
        if (state == 1)
            pthread_kill(thread, SIGUSR1);
    }
    finish(thread);
    for (long i = 0; i < PAIRS; i++) {
        name(i, path);
        unlink(path);
    }
    rmdir(dir);
    return 0;
}
