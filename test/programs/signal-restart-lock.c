/*
 * A thread that waits for a record lock runs a handler with SA_RESTART at once, and waits on; without the
 * flag the wait ends with EINTR (fcntl(2), signal(7)).
 */
#include "check.h"

#include "signals.h"

#include <fcntl.h>
#include <stdatomic.h>

static atomic_int done;
static int fd;

static void *takes(void *argument)
{
    struct flock lock = { .l_type = F_WRLCK };

    SYS(fcntl(fd, F_SETLKW, &lock));
    done = 1;
    return argument;
}

static void *is_interrupted(void *argument)
{
    struct flock lock = { .l_type = F_WRLCK };

    FAILS(fcntl(fd, F_SETLKW, &lock), EINTR);
    done = 1;
    return argument;
}

/* Holds the lock until its standard input ends. */
static pid_t holder(int ready, int in, int other)
{
    pid_t child = SYS(fork());

    if (child == 0) {
        struct flock lock = { .l_type = F_WRLCK };
        char c = 'x';

        watchdog();
        SYS(close(other));
        SYS(fcntl(fd, F_SETLKW, &lock));
        write_all(ready, &c, 1);
        while (read(in, &c, 1) > 0) {
        }
        _exit(0);
    }
    return child;
}

int main(void)
{
    int ready[2], end[2];
    char name[] = "/tmp/restart-lock-XXXXXX", c;

    watchdog();
    fd = SYS(mkstemp(name));
    SYS(unlink(name));
    SYS(pipe(ready));
    SYS(pipe(end));
    pid_t child = holder(ready[1], end[0], end[1]);
    read_all(ready[0], &c, 1);

    install_counter(SIGUSR1, SA_RESTART);
    pthread_t thread = start(takes, NULL);
    for (int i = 0; i < 3; i++) {
        nap(20);
        OK(pthread_kill(thread, SIGUSR1));
        while (handled <= i) {
            nap(1);
        }
        CHECK_EQ(done, 0);
    }
    SYS(close(end[1]));
    finish(thread);
    CHECK_EQ(reap(child), 0);

    struct flock free = { .l_type = F_UNLCK };
    SYS(fcntl(fd, F_SETLK, &free));
    SYS(pipe(end));
    child = holder(ready[1], end[0], end[1]);
    read_all(ready[0], &c, 1);
    install_counter(SIGUSR1, 0);
    done = 0;
    thread = start(is_interrupted, NULL);
    while (!done) { /* the first may come before the wait */
        nap(10);
        OK(pthread_kill(thread, SIGUSR1));
    }
    finish(thread);
    SYS(close(end[1]));
    CHECK_EQ(reap(child), 0);
    return 0;
}
