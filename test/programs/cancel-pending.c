/*
 * A thread with a pending cancellation is cancelled by every cancellation point, even one that would
 * not have to wait, and the call has not happened (POSIX 2.9.5: pthread_cancel, list of points).
 */
#include "check.h"

#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <threads.h>

static int pipe_fds[2], pair[2], queue, file, ended_child;
static sem_t sem;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_int came_back, handlers;
static char path[64], byte, mapping[4096] __attribute__((aligned(4096)));
static struct iovec iov = { &byte, 1 };
static struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
static struct pollfd pollable;
static struct timespec zero, soon = { 0, 1 };
static sigset_t usr1;
static int signal_number, status;
static siginfo_t info;
static struct message {
    long type;
    char text[8];
} message = { 1, "text" };

#define POINT(name, call)                                                                          \
    static void name(void)                                                                         \
    {                                                                                              \
        (void)!(call);                                                                             \
    }
POINT(point_testcancel, (pthread_testcancel(), 0))
POINT(point_read, read(pipe_fds[0], &byte, 1))
POINT(point_write, write(pipe_fds[1], "w", 1))
POINT(point_readv, readv(pipe_fds[0], &iov, 1))
POINT(point_writev, writev(pipe_fds[1], &iov, 1))
POINT(point_pread, pread(file, &byte, 1, 0))
POINT(point_pwrite, pwrite(file, "w", 1, 0))
POINT(point_recv, recv(pair[0], &byte, 1, 0))
POINT(point_recvfrom, recvfrom(pair[0], &byte, 1, 0, NULL, NULL))
POINT(point_recvmsg, recvmsg(pair[0], &msg, 0))
POINT(point_send, send(pair[0], "s", 1, 0))
POINT(point_sendto, sendto(pair[0], "s", 1, 0, NULL, 0))
POINT(point_sendmsg, sendmsg(pair[0], &msg, 0))
POINT(point_accept, accept(file, NULL, NULL))
POINT(point_connect, connect(file, NULL, 0))
POINT(point_open, open(path, O_CREAT | O_RDWR, 0600))
POINT(point_openat, openat(AT_FDCWD, path, O_CREAT | O_RDWR, 0600))
POINT(point_creat, creat(path, 0600))
POINT(point_close, close(file))
POINT(point_setlkw, fcntl(file, F_SETLKW, &(struct flock){ .l_type = F_WRLCK }))
POINT(point_fsync, fsync(file))
POINT(point_fdatasync, fdatasync(file))
POINT(point_msync, msync(mapping, sizeof mapping, MS_SYNC))
POINT(point_poll, poll(&pollable, 1, 0))
POINT(point_ppoll, ppoll(&pollable, 1, &zero, NULL))
POINT(point_select, select(0, NULL, NULL, NULL, &(struct timeval){ 0, 0 }))
POINT(point_pselect, pselect(0, NULL, NULL, NULL, &zero, NULL))
POINT(point_epoll_wait, epoll_wait(-1, &(struct epoll_event){ 0 }, 1, 0))
POINT(point_nanosleep, nanosleep(&soon, NULL))
POINT(point_clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &soon, NULL))
POINT(point_usleep, usleep(1))
POINT(point_sleep, sleep(1))
POINT(point_thrd_sleep, thrd_sleep(&soon, NULL))
POINT(point_sem_wait, sem_wait(&sem))
POINT(point_sigtimedwait, sigtimedwait(&usr1, &info, &zero))
POINT(point_sigwait, sigwait(&usr1, &signal_number))
POINT(point_sigwaitinfo, sigwaitinfo(&usr1, &info))
POINT(point_pause, pause())
POINT(point_sigsuspend, sigsuspend(&usr1))
POINT(point_waitpid, waitpid(ended_child, &status, WNOHANG))
POINT(point_wait, wait(&status))
POINT(point_waitid, waitid(P_PID, (id_t)ended_child, &info, WEXITED | WNOHANG))
POINT(point_msgrcv, msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT))
POINT(point_msgsnd, msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT))

static void unlock(void *mutex)
{
    OK(pthread_mutex_unlock(mutex));
}

static void point_cond_wait(void)
{
    OK(pthread_mutex_lock(&lock));
    pthread_cleanup_push(unlock, &lock);
    pthread_cond_wait(&cond, &lock);
    pthread_cleanup_pop(1);
}

static void point_cond_timedwait(void)
{
    struct timespec t = from_now(CLOCK_REALTIME, 60000);

    OK(pthread_mutex_lock(&lock));
    pthread_cleanup_push(unlock, &lock);
    pthread_cond_timedwait(&cond, &lock, &t);
    pthread_cleanup_pop(1);
}

static const struct {
    const char *name;
    void (*call)(void);
} points[] = {
#define P(name)                                                                                    \
    {                                                                                              \
#name, point_##name                                                                        \
    }
    P(testcancel),     P(read),        P(write),      P(readv),      P(writev),
    P(pread),          P(pwrite),      P(recv),       P(recvfrom),   P(recvmsg),
    P(send),           P(sendto),      P(sendmsg),    P(accept),     P(connect),
    P(open),           P(openat),      P(creat),      P(close),      P(setlkw),
    P(fsync),          P(fdatasync),   P(msync),      P(poll),       P(ppoll),
    P(select),         P(pselect),     P(epoll_wait), P(nanosleep),  P(clock_nanosleep),
    P(usleep),         P(sleep),       P(thrd_sleep), P(sem_wait),   P(sigtimedwait),
    P(sigwait),        P(sigwaitinfo), P(pause),      P(sigsuspend), P(waitpid),
    P(wait),           P(waitid),      P(msgrcv),     P(msgsnd),     P(cond_wait),
    P(cond_timedwait),
};

static void handler(void *argument)
{
    (void)argument;
    handlers++;
}

static void *body(void *argument)
{
    pthread_cleanup_push(handler, NULL);
    OK(pthread_cancel(pthread_self()));
    points[*(int *)argument].call();
    OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    dprintf(2, "%s: not cancelled\n", points[*(int *)argument].name);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    int value, n = (int)(sizeof points / sizeof *points);
    char buffer[8];

    watchdog();
    SYS(pipe(pipe_fds));
    SYS(write(pipe_fds[1], "in", 2));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(write(pair[1], "in", 2));
    SYS(sem_init(&sem, 0, 1));
    snprintf(path, sizeof path, "/tmp/cancel-pending-%d", (int)getpid());
    file = SYS(open("/dev/zero", O_RDWR));
    pollable = (struct pollfd){ .fd = pipe_fds[0], .events = POLLIN };
    queue = SYS(msgget(IPC_PRIVATE, 0600 | IPC_CREAT));
    SYS(msgsnd(queue, &message, sizeof message.text, 0));
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &usr1, NULL));
    ended_child = SYS(fork());
    if (ended_child == 0) {
        _exit(7);
    }
    SYS(waitid(P_PID, (id_t)ended_child, &info, WEXITED | WNOWAIT));

    for (int i = 0; i < n; i++) {
        pthread_t thread = start(body, &i);

        if (finish(thread) != PTHREAD_CANCELED) {
            came_back++;
        }
        CHECK_EQ(handlers, i + 1 - came_back);
    }
    CHECK_EQ(came_back, 0);

    /* Nothing has happened. */
    SYS(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK));
    CHECK_EQ(read(pipe_fds[0], buffer, 8), 2);
    CHECK_EQ(recv(pair[0], buffer, 8, MSG_DONTWAIT), 2);
    CHECK_EQ(recv(pair[1], buffer, 8, MSG_DONTWAIT), -1);
    SYS(sem_getvalue(&sem, &value));
    CHECK_EQ(value, 1);
    FAILS(access(path, F_OK), ENOENT);
    SYS(fcntl(file, F_GETFD));
    CHECK_EQ(msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT), (int)sizeof message.text);
    FAILS(msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT), ENOMSG);
    SYS(msgctl(queue, IPC_RMID, NULL));
    CHECK_EQ(WEXITSTATUS(reap(ended_child)), 7);
    OK(pthread_mutex_trylock(&lock));
    return 0;
}
