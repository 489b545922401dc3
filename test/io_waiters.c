/*
 * io_waiters: starts threads that wait in one kind of call after the other, prints for each kind how
 * many kernel threads the process has then, and ends with all of them waiting. For io_threads.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EACH = 60 };

static int empty[2], other[2], pair[2], full[2], file, event, epfd;
static mqd_t queue;
static pid_t child;
static _Atomic int begun;

static void *in_splice(void *arg)
{
    begun++;
    splice(empty[0], NULL, other[1], NULL, 100, 0);
    return arg;
}

static void *in_tee(void *arg)
{
    begun++;
    tee(empty[0], other[1], 100, 0);
    return arg;
}

static void *in_sendfile(void *arg)
{
    off_t offset = 0;

    begun++;
    sendfile(full[0], file, &offset, 1 << 20);
    return arg;
}

static void *in_recvmmsg(void *arg)
{
    char byte;
    struct iovec iov = { &byte, 1 };
    struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

    begun++;
    recvmmsg(pair[0], &msg, 1, 0, NULL);
    return arg;
}

static void *in_waitall(void *arg)
{
    char room[16];

    begun++;
    recv(full[0], room, sizeof room, MSG_WAITALL);
    return arg;
}

/* A part has come. */
static void *in_waitall_part(void *arg)
{
    char room[16];
    int own[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, own) || write(own[1], room, 1) != 1)
        abort();
    begun++;
    recv(own[0], room, sizeof room, MSG_WAITALL);
    return arg;
}

static void *in_queue(void *arg)
{
    char room[16];

    begun++;
    mq_receive(queue, room, sizeof room, NULL);
    return arg;
}

static void *in_wait(void *arg)
{
    begun++;
    waitpid(child, NULL, 0);
    return arg;
}

static void *in_eventfd(void *arg)
{
    eventfd_t value;

    begun++;
    eventfd_read(event, &value);
    return arg;
}

static void *in_epoll(void *arg)
{
    struct epoll_event e;

    begun++;
    epoll_pwait2(epfd, &e, 1, NULL, NULL);
    return arg;
}

static sigset_t open_mask; /* lets SIGUSR1 through, which all threads block */

static void *in_ppoll(void *arg)
{
    struct pollfd p = { empty[0], POLLIN, 0 };

    begun++;
    ppoll(&p, 1, NULL, &open_mask);
    return arg;
}

static void *in_pselect(void *arg)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(empty[0], &set);
    FD_SET(other[0], &set);
    begun++;
    pselect(FD_SETSIZE, &set, NULL, NULL, NULL, &open_mask);
    return arg;
}

static void *in_epoll_masked(void *arg)
{
    struct epoll_event e;

    begun++;
    epoll_pwait(epfd, &e, 1, -1, &open_mask);
    return arg;
}

static void *in_sigsuspend(void *arg)
{
    begun++;
    sigsuspend(&open_mask);
    return arg;
}

static void *in_sigwait(void *arg)
{
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + (begun & 3));
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    begun++;
    sigwait(&set, &sig);
    return arg;
}

static void *in_pause(void *arg)
{
    begun++;
    pause();
    return arg;
}

static void pause_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    while (nanosleep(&t, &t) && errno == EINTR) {
    }
}

static void run(const char *name, void *(*body)(void *))
{
    struct stat st;
    pthread_t thread;

    begun = 0;
    for (int i = 0; i < EACH; i++)
        if (pthread_create(&thread, NULL, body, NULL))
            abort();
    while (begun < EACH)
        pause_ms(5);
    pause_ms(100);
    stat("/proc/self/task", &st);
    printf("%s %d\n", name, (int)st.st_nlink - 2);
    fflush(stdout);
}

int main(void)
{
    char name[64], path[] = "/tmp/io_waiters-XXXXXX";
    struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 16 };

    alarm(60);
    sigemptyset(&open_mask);
    sigaddset(&open_mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &open_mask, NULL);
    sigemptyset(&open_mask);
    snprintf(name, sizeof name, "/io_waiters-%d", getpid());
    queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
    mq_unlink(name);
    file = mkstemp(path);
    unlink(path);
    event = eventfd(0, 0);
    epfd = epoll_create1(0);
    if (pipe(empty) || pipe(other) || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, full) || ftruncate(file, 1 << 20) || event < 0 ||
        epfd < 0)
        return 1;
    while (send(full[0], path, sizeof path, MSG_DONTWAIT) > 0) {
    }
    child = fork();
    if (child == 0) {
        alarm(60);
        pause();
        _exit(0);
    }
    run("splice", in_splice);
    run("tee", in_tee);
    run("sendfile", in_sendfile);
    run("recvmmsg", in_recvmmsg);
    run("recv-waitall", in_waitall);
    run("recv-waitall-part", in_waitall_part);
    if (queue >= 0)
        run("mq_receive", in_queue);
    run("waitpid", in_wait);
    run("eventfd_read", in_eventfd);
    run("epoll_pwait2", in_epoll);
    run("ppoll", in_ppoll);
    run("pselect", in_pselect);
    run("epoll_pwait", in_epoll_masked);
    run("sigwait", in_sigwait);
    run("sigsuspend", in_sigsuspend);
    run("pause", in_pause);
    kill(child, SIGKILL);
    return 0;
}
