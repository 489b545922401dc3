/*
 * Many threads wait in open for the other side of a FIFO each, readers and then writers; who opens the other
 * sides is never kept from it, a signal ends the wait, and so does cancellation. Preloaded it has few kernel
 * threads for that.
 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define MANY 80

static char directory[] = "/tmp/fifo-many-XXXXXX";
static atomic_int begun;

static char *name_of(long i, char *path)
{
    sprintf(path, "%s/%ld", directory, i);
    return path;
}

static void *reads(void *argument)
{
    char path[64], byte;

    begun++;
    int fd = SYS(open(name_of((long)argument, path), O_RDONLY));

    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(read(fd, &byte, 1), 0);
    close(fd);
    return NULL;
}

static void *writes(void *argument)
{
    char path[64];

    begun++;
    int fd = SYS(open(name_of((long)argument, path), O_WRONLY | O_CLOEXEC));

    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    write_all(fd, "x", 1);
    close(fd);
    return NULL;
}

static void *interrupted(void *argument)
{
    char path[64];

    begun++;
    FAILS(open(name_of(0, path), argument ? O_WRONLY : O_RDONLY), EINTR);
    return NULL;
}

static void *cancelled(void *argument)
{
    char path[64];

    begun++;
    open(name_of(0, path), argument ? O_WRONLY : O_RDONLY);
    CHECK(!"not cancelled");
    return NULL;
}

static void handler(int sig)
{
    (void)sig;
}

static void wait_for(int n)
{
    while (begun < n) {
        nap(1);
    }
    nap(50);
    begun = 0;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    pthread_t threads[MANY], other;
    char path[64], byte;

    watchdog();
    CHECK(mkdtemp(directory) != NULL);
    SYS(sigaction(SIGUSR1, &action, NULL));
    for (long i = 0; i < MANY; i++) {
        SYS(mkfifo(name_of(i, path), 0600));
    }
    for (long i = 1; i < MANY; i++) {
        threads[i] = start(reads, (void *)i);
    }
    wait_for(MANY - 1);
    for (long side = 0; side < 2; side++) {
        other = start(interrupted, (void *)side);
        wait_for(1);
        OK(pthread_kill(other, SIGUSR1));
        finish(other);
        other = start(cancelled, (void *)side);
        wait_for(1);
        OK(pthread_cancel(other));
        CHECK(finish(other) == PTHREAD_CANCELED);
    }
    for (long i = MANY - 1; i > 0; i--) {
        int fd = SYS(open(name_of(i, path), O_WRONLY));

        write_all(fd, "x", 1);
        close(fd);
    }
    for (long i = 1; i < MANY; i++) {
        finish(threads[i]);
    }
    for (long i = 1; i < MANY; i++) {
        threads[i] = start(writes, (void *)i);
    }
    wait_for(MANY - 1);
    for (long i = 1; i < MANY; i++) {
        int fd = SYS(open(name_of(i, path), O_RDONLY));

        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_EQ(read(fd, &byte, 1), 0);
        close(fd);
    }
    for (long i = 1; i < MANY; i++) {
        finish(threads[i]);
    }
    for (long i = 0; i < MANY; i++) {
        unlink(name_of(i, path));
    }
    rmdir(directory);
    return 0;
}
