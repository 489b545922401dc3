/* Reads of what is neither file nor socket wait, for many threads at a time: inotify, signalfd, a
 * terminal in line mode, an eventfd through eventfd_read, a pidfd in poll. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <termios.h>

enum { THREADS = 12 };

static char dir[] = "other-reads-XXXXXX";

static void *watcher(void *argument)
{
    int fd = *(int *)argument;
    char data[1000];
    struct inotify_event *e = (void *)data;
    ssize_t n = SYS(read(fd, data, sizeof data));

    CHECK(n >= (ssize_t)sizeof *e);
    CHECK_EQ(e->mask, IN_CREATE);
    CHECK(strcmp(e->name, "new") == 0);
    return NULL;
}

static void *line_reader(void *argument)
{
    int fd = *(int *)argument;
    char data[100];

    CHECK_EQ(SYS(read(fd, data, sizeof data)), 6);
    CHECK(memcmp(data, "hello\n", 6) == 0);
    CHECK_EQ(SYS(read(fd, data, 2)), 2); /* the rest of the line stays */
    CHECK_EQ(SYS(read(fd, data, 100)), 2);
    return NULL;
}

static void *event_reader(void *argument)
{
    eventfd_t value;

    CHECK_EQ(SYS(eventfd_read(*(int *)argument, &value)), 0);
    CHECK_EQ(value, 1);
    return NULL;
}

static void *signal_reader(void *argument)
{
    struct signalfd_siginfo info;

    CHECK_EQ(SYS(read(*(int *)argument, &info, sizeof info)), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR2);
    return NULL;
}

static void *child_poller(void *argument)
{
    struct pollfd p = { *(int *)argument, POLLIN, 0 };

    CHECK_EQ(SYS(poll(&p, 1, -1)), 1);
    CHECK_EQ(p.revents, POLLIN);
    return NULL;
}

int main(void)
{
    int fds[THREADS], p[2];
    pthread_t threads[THREADS];
    char path[64];
    sigset_t usr2;

    watchdog();
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    OK(pthread_sigmask(SIG_BLOCK, &usr2, NULL));
    CHECK(mkdtemp(dir));
    for (int i = 0; i < THREADS; i++) {
        fds[i] = SYS(inotify_init1(0));
        SYS(inotify_add_watch(fds[i], dir, IN_CREATE));
        threads[i] = start(watcher, &fds[i]);
    }
    nap(10);
    snprintf(path, sizeof path, "%s/new", dir);
    SYS(close(SYS(creat(path, 0600))));
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
        SYS(close(fds[i]));
    }
    unlink(path);
    rmdir(dir);

    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0) {
        int tty = SYS(open(ptsname(master), O_RDWR | O_NOCTTY));
        struct termios t;

        SYS(tcgetattr(tty, &t));
        t.c_lflag &= ~(tcflag_t)ECHO;
        SYS(tcsetattr(tty, TCSANOW, &t));
        pthread_t thread = start(line_reader, &tty);
        nap(10);
        SYS(write(master, "hel", 3));
        nap(10);
        SYS(write(master, "lo\n", 3));
        nap(10);
        SYS(write(master, "abc\n", 4));
        finish(thread);
        SYS(close(tty));
        SYS(close(master));
    }

    int event = SYS(eventfd(0, EFD_SEMAPHORE));
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(event_reader, &event);
    nap(10);
    SYS(eventfd_write(event, THREADS));
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);

    int sfd = SYS(signalfd(-1, &usr2, 0));
    threads[0] = start(signal_reader, &sfd);
    nap(10);
    SYS(kill(getpid(), SIGUSR2));
    finish(threads[0]);

    SYS(pipe(p));
    pid_t child = SYS(fork());
    if (!child) {
        alarm(60);
        close(p[1]);
        while (read(p[0], &child, 1) < 0) {
        }
        _exit(0);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (pidfd >= 0) {
        for (int i = 0; i < THREADS; i++)
            threads[i] = start(child_poller, &pidfd);
        nap(10);
        SYS(close(p[1]));
        for (int i = 0; i < THREADS; i++)
            finish(threads[i]);
    } else {
        SYS(close(p[1]));
    }
    CHECK_EQ(reap(child), 0);
    return 0;
}
