/*
 * A thread that is blocked in a cancellation point is cancelled there: every call of POSIX's list
 * (2.9.5) that can wait, and those of Linux that glibc documents.
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
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <threads.h>

static int empty[2], full[2], pair[2], full_pair[2], listener, crowded, queue, full_queue, epfd,
    file;
static pid_t child;
static mqd_t mq = (mqd_t)-1;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;
static sem_t sem, entered;
static mtx_t c11_lock;
static cnd_t c11_cond;
static pthread_t sleeper;
static char path[64], fifo[64], name[64], big[1 << 20];
static struct iovec iov = { big, sizeof big };
static struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
static struct timespec hour = { 3600, 0 };
static sigset_t usr1, none;
static int handlers;
static struct message {
    long type;
    char text[8192];
} message = { 1, "text" };

static void never_reached(const char *what)
{
    dprintf(2, "%s came back: %s\n", what, strerror(errno));
    _exit(1);
}

static struct timespec in_an_hour(void)
{
    return from_now(CLOCK_REALTIME, 3600000);
}

static void c11_unlock(void *argument)
{
    mtx_unlock(argument);
}

#define CALLS(X)                                                                                   \
    X(read, read(empty[0], big, 1))                                                                \
    X(readv, readv(empty[0], &iov, 1))                                                             \
    X(write, write(full[1], big, 1))                                                               \
    X(writev, writev(full[1], &iov, 1))                                                            \
    X(recv, recv(pair[0], big, 1, 0))                                                              \
    X(recv_all, recv(pair[0], big, 100, MSG_WAITALL))                                              \
    X(recvfrom, recvfrom(pair[0], big, 1, 0, (struct sockaddr *)&address, &(socklen_t){ 100 }))    \
    X(recvmsg, recvmsg(pair[0], &msg, 0))                                                          \
    X(send, send(full_pair[0], big, 1, 0))                                                         \
    X(sendto, sendto(full_pair[0], big, 1, 0, NULL, 0))                                            \
    X(sendmsg, sendmsg(full_pair[0], &msg, 0))                                                     \
    X(accept, accept(listener, NULL, NULL))                                                        \
    X(accept4, accept4(listener, NULL, NULL, SOCK_CLOEXEC))                                        \
    X(connect, connect(crowded, (struct sockaddr *)&address, address_len))                         \
    X(poll, poll(&(struct pollfd){ empty[0], POLLIN, 0 }, 1, -1))                                  \
    X(poll_two, poll((struct pollfd[]){ { empty[0], POLLIN, 0 }, { pair[0], POLLIN, 0 } }, 2, -1)) \
    X(poll_same,                                                                                   \
      poll((struct pollfd[]){ { empty[0], POLLIN, 0 }, { empty[0], POLLIN, 0 } }, 2, -1))          \
    X(poll_none, poll(NULL, 0, 3600000))                                                           \
    X(ppoll, ppoll(&(struct pollfd){ empty[0], POLLIN, 0 }, 1, NULL, NULL))                        \
    X(ppoll_mask, ppoll(&(struct pollfd){ empty[0], POLLIN, 0 }, 1, &hour, &none))                 \
    X(select, select(0, NULL, NULL, NULL, NULL))                                                   \
    X(pselect_mask, pselect(0, NULL, NULL, NULL, &hour, &none))                                    \
    X(epoll_wait, epoll_wait(epfd, &(struct epoll_event){ 0 }, 1, -1))                             \
    X(epoll_pwait, epoll_pwait(epfd, &(struct epoll_event){ 0 }, 1, 3600000, &none))               \
    X(nanosleep, nanosleep(&hour, NULL))                                                           \
    X(clock_nanosleep, clock_nanosleep(CLOCK_REALTIME, 0, &hour, NULL))                            \
    X(cpu_nanosleep, clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &hour, NULL))                    \
    X(usleep, usleep(999999999))                                                                   \
    X(sleep, sleep(3600))                                                                          \
    X(thrd_sleep, thrd_sleep(&hour, NULL))                                                         \
    X(sem_wait, sem_wait(&sem))                                                                    \
    X(sem_timedwait, sem_timedwait(&sem, &(struct timespec){ in_an_hour().tv_sec, 0 }))            \
    X(sigwait, sigwait(&usr1, &(int){ 0 }))                                                        \
    X(sigwaitinfo, sigwaitinfo(&usr1, NULL))                                                       \
    X(sigtimedwait, sigtimedwait(&usr1, NULL, &hour))                                              \
    X(sigsuspend, sigsuspend(&none))                                                               \
    X(pause, pause())                                                                              \
    X(waitpid, waitpid(child, NULL, 0))                                                            \
    X(wait, wait(NULL))                                                                            \
    X(waitid, waitid(P_PID, (id_t)child, &(siginfo_t){ 0 }, WEXITED))                              \
    X(msgrcv, msgrcv(queue, &message, sizeof message.text, 0, 0))                                  \
    X(msgsnd, msgsnd(full_queue, &message, sizeof message.text, 0))                                \
    X(setlkw, fcntl(file, F_SETLKW, &(struct flock){ .l_type = F_WRLCK }))                         \
    X(lockf, lockf(file, F_LOCK, 0))                                                               \
    X(open_fifo, open(fifo, O_RDONLY))                                                             \
    X(system, system("exec sleep 3600 >&- 2>&-"))                                                  \
    X(join, pthread_join(sleeper, NULL))                                                           \
    X(timedjoin,                                                                                   \
      pthread_timedjoin_np(sleeper, NULL, &(struct timespec){ in_an_hour().tv_sec, 0 }))           \
    X(thrd_join, thrd_join(sleeper, NULL))                                                         \
    X(mq_receive, mq == (mqd_t)-1 ? pause() : mq_receive(mq, big, 8192, NULL))                     \
    X(aio_suspend, wait_for_aio())

static long wait_for_aio(void)
{
    /* Not on the stack: the request outlives this frame. */
    static struct aiocb request;
    const struct aiocb *list[] = { &request };

    request = (struct aiocb){ .aio_fildes = empty[0], .aio_buf = big, .aio_nbytes = 1 };
    SYS(aio_read(&request));
    return aio_suspend(list, 1, NULL);
}

#define X(label, call)                                                                             \
    static void call_##label(void)                                                                 \
    {                                                                                              \
        (void)!(call);                                                                             \
    }
CALLS(X)
#undef X

static void call_cnd_wait(void)
{
    mtx_lock(&c11_lock);
    pthread_cleanup_push(c11_unlock, &c11_lock);
    for (;;) {
        cnd_wait(&c11_cond, &c11_lock);
    }
    pthread_cleanup_pop(1);
}

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = { { "cnd_wait", call_cnd_wait },
#define X(label, call) { #label, call_##label },
              CALLS(X)
#undef X
};

static void handler(void *argument)
{
    (void)argument;
    __atomic_add_fetch(&handlers, 1, __ATOMIC_SEQ_CST);
}

static void *body(void *argument)
{
    int i = *(int *)argument;

    pthread_cleanup_push(handler, NULL);
    sem_post(&entered);
    calls[i].call();
    never_reached(calls[i].name);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *sleep_long(void *argument)
{
    sleep(3600);
    return argument;
}

static void fill(int fd)
{
    SYS(fcntl(fd, F_SETFL, O_NONBLOCK));
    while (write(fd, big, sizeof big) > 0) {
    }
    while (write(fd, big, 1) > 0) {
    }
    SYS(fcntl(fd, F_SETFL, 0));
}

static void make_objects(void)
{
    SYS(pipe(empty));
    SYS(pipe(full));
    fill(full[1]);
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, full_pair));
    fill(full_pair[0]);
    /* Listeners: one without clients, one whose backlog is full. */
    listener = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(bind(listener, (struct sockaddr *)&(struct sockaddr_un){ .sun_family = AF_UNIX },
             sizeof(sa_family_t)));
    SYS(listen(listener, 1));
    int busy = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    address_len = sizeof(sa_family_t);
    SYS(bind(busy, (struct sockaddr *)&address, address_len));
    address_len = sizeof address;
    SYS(getsockname(busy, (struct sockaddr *)&address, &address_len));
    SYS(listen(busy, 0));
    SYS(connect(SYS(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&address, address_len));
    crowded = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    queue = SYS(msgget(IPC_PRIVATE, 0600 | IPC_CREAT));
    full_queue = SYS(msgget(IPC_PRIVATE, 0600 | IPC_CREAT));
    while (msgsnd(full_queue, &message, sizeof message.text, IPC_NOWAIT) == 0) {
    }
    epfd = SYS(epoll_create1(0));
    snprintf(path, sizeof path, "/tmp/cancel-blocked-%d", (int)getpid());
    snprintf(fifo, sizeof fifo, "/tmp/cancel-blocked-fifo-%d", (int)getpid());
    snprintf(name, sizeof name, "/cancel-blocked-%d", (int)getpid());
    SYS(mkfifo(fifo, 0600));
    file = SYS(open(path, O_CREAT | O_RDWR, 0600));
    mq = mq_open(name, O_CREAT | O_RDWR, 0600,
                 &(struct mq_attr){ .mq_maxmsg = 1, .mq_msgsize = 8192 });
    /* The child holds the record lock. */
    int ready[2];
    SYS(pipe(ready));
    child = SYS(fork());
    if (child == 0) {
        SYS(fcntl(file, F_SETLKW, &(struct flock){ .l_type = F_WRLCK }));
        SYS(write(ready[1], "r", 1));
        for (;;) {
            pause();
        }
    }
    read_all(ready[0], big, 1);
}

int main(void)
{
    int n = (int)(sizeof calls / sizeof *calls);

    watchdog();
    make_objects();
    SYS(sem_init(&sem, 0, 0));
    SYS(sem_init(&entered, 0, 0));
    CHECK_EQ(mtx_init(&c11_lock, mtx_plain), thrd_success);
    CHECK_EQ(cnd_init(&c11_cond), thrd_success);
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &usr1, NULL));
    sleeper = start(sleep_long, &sem);
    for (int i = 0; i < n; i++) {
        for (int late = 0; late < 2; late++) {
            pthread_t thread = start(body, &i);

            sem_wait(&entered);
            if (late) {
                nap(3);
            }
            OK(pthread_cancel(thread));
            if (finish(thread) != PTHREAD_CANCELED) {
                never_reached(calls[i].name);
            }
            CHECK_EQ(handlers, 2 * i + late + 1);
        }
    }
    /* Who was waited for can still be joined. */
    OK(pthread_cancel(sleeper));
    CHECK(finish(sleeper) == PTHREAD_CANCELED);
    SYS(kill(child, SIGKILL));
    CHECK(WIFSIGNALED(reap(child)));
    SYS(msgctl(queue, IPC_RMID, NULL));
    SYS(msgctl(full_queue, IPC_RMID, NULL));
    SYS(unlink(path));
    SYS(unlink(fifo));
    if (mq != (mqd_t)-1) {
        mq_unlink(name);
    }
    return 0;
}
