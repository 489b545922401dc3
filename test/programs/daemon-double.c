/*
 * A daemon as it is done by hand (fork, setsid, fork, close_range or closefrom over everything) and
 * by daemon(3), from a process with threads: the daemon makes threads of its own and works.
 */
#include "check.h"

#include <fcntl.h>
#include <semaphore.h>

static sem_t never;

static void *blocked(void *argument)
{
    sem_wait(&never);
    return argument;
}

static void *echo(void *argument)
{
    int *fds = argument;
    char c;

    read_all(fds[0], &c, 1);
    c++;
    write_all(fds[3], &c, 1);
    return argument;
}

/* Descriptor 0 is what remains. */
static void daemon_work(void)
{
    pthread_t threads[10];
    int fds[10][4];
    char c = 'a';

    watchdog();
    for (int i = 0; i < 10; i++) {
        SYS(pipe(fds[i]));
        SYS(pipe(fds[i] + 2));
        threads[i] = start(echo, fds[i]);
    }
    for (int i = 0; i < 10; i++) {
        write_all(fds[i][1], &c, 1);
        read_all(fds[i][2], &c, 1);
    }
    for (int i = 0; i < 10; i++) {
        finish(threads[i]);
    }
    write_all(0, &c, 1);
    _exit(0);
}

static void *makes_daemon(void *argument)
{
    int ends[2];
    char c;

    SYS(pipe(ends));
    pid_t child = SYS(fork());
    if (child == 0) {
        SYS(dup2(ends[1], 0));
        switch ((long)argument) {
        case 0:
            SYS(setsid());
            if (SYS(fork())) {
                _exit(0);
            }
            SYS(close_range(3, ~0U, 0));
            break;
        case 1:
            SYS(setsid());
            if (SYS(fork())) {
                _exit(0);
            }
            closefrom(3);
            break;
        default: /* the parent of this fork ends by itself, with 0 */
            SYS(daemon(1, 1));
            SYS(close_range(3, ~0U, 0));
        }
        daemon_work();
    }
    close(ends[1]);
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    read_all(ends[0], &c, 1);
    CHECK_EQ(c, 'a' + 10);
    CHECK_EQ(SYS(read(ends[0], &c, 1)), 0);
    close(ends[0]);
    return argument;
}

int main(void)
{
    pthread_t threads[20], makers[3];

    watchdog();
    makes_daemon((void *)0); /* before there are threads */
    for (int i = 0; i < 20; i++) {
        threads[i] = start(blocked, NULL);
    }
    for (long i = 0; i < 3; i++) {
        makers[i] = start(makes_daemon, (void *)i);
        finish(makers[i]);
        makes_daemon((void *)i);
    }
    for (int i = 0; i < 20; i++) {
        sem_post(&never);
    }
    for (int i = 0; i < 20; i++) {
        finish(threads[i]);
    }
    return 0;
}
