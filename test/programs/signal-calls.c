/* The table of signal(7): which calls a handler with SA_RESTART interrupts all the same (time outs, several
 * descriptors, System V, waits for signals), and which go on and finish. */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

static const struct timespec minute = { 60, 0 };
static atomic_int entered, handled, done;
static int pipes[2], full[2], pair[2], timed[2], listener, epoll, queue_id, semaphores;
static char fifo[64], locked[64];
static sem_t sem;

static void handler(int sig)
{
    (void)sig;
    handled++;
}

/* ---- interrupted: each fails with EINTR ---- */

static int by_nanosleep(void)
{
    return nanosleep(&minute, NULL);
}

static int by_clock_nanosleep(void)
{
    errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, NULL);
    return errno ? -1 : 0;
}

static int by_usleep(void)
{
    return usleep(60000000);
}

static int by_poll(void)
{
    struct pollfd p = { pipes[0], POLLIN, 0 };
    return poll(&p, 1, -1);
}

static int by_ppoll(void)
{
    struct pollfd p[] = { { pipes[0], POLLIN, 0 }, { pair[0], POLLIN, 0 } };
    return ppoll(p, 2, &minute, NULL);
}

static int by_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    return select(pipes[0] + 1, &set, NULL, NULL, NULL);
}

static int by_pselect(void)
{
    sigset_t none;
    sigemptyset(&none);
    return pselect(0, NULL, NULL, NULL, &minute, &none);
}

static int by_epoll(void)
{
    struct epoll_event e;
    return epoll_wait(epoll, &e, 1, -1);
}

static int by_epoll_pwait(void)
{
    sigset_t none;
    struct epoll_event e;
    sigemptyset(&none);
    return epoll_pwait(epoll, &e, 1, 60000, &none);
}

static int by_semop(void)
{
    struct sembuf down = { 0, -1, 0 };
    return semop(semaphores, &down, 1);
}

static int by_semtimedop(void)
{
    struct sembuf down = { 0, -1, 0 };
    return semtimedop(semaphores, &down, 1, &minute);
}

static int by_msgrcv(void)
{
    char room[64];
    return (int)msgrcv(queue_id, room, 8, 2, 0);
}

static int by_recv_timeout(void)
{
    char byte;
    return (int)recv(timed[0], &byte, 1, 0);
}

static int by_pause(void)
{
    return pause();
}

static int by_sigsuspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
}

static int by_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &minute);
}

static int by_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigwaitinfo(&set, NULL);
}

static int (*const interrupted[])(void) = {
    by_nanosleep,    by_clock_nanosleep, by_usleep,      by_poll,         by_ppoll,       by_select,
    by_pselect,      by_epoll,           by_epoll_pwait, by_semop,        by_semtimedop,  by_msgrcv,
    by_recv_timeout, by_pause,           by_sigsuspend,  by_sigtimedwait, by_sigwaitinfo,
};
#define INTERRUPTED ((int)(sizeof interrupted / sizeof *interrupted))

static void *is_interrupted(void *arg)
{
    int i = (int)(long)arg;
    entered = 1;
    errno = 0;
    int r = interrupted[i](), error = errno;
    if (r != -1 || error != EINTR || !handled) {
        dprintf(2, "call %d: %d, %s\n", i, r, strerror(error));
        _exit(1);
    }
    done = 1;
    return NULL;
}

/* ---- restarted: each goes on until it has what it waits for ---- */

static pid_t child;

static int waits_read(void)
{
    char byte;
    return (int)read(pipes[0], &byte, 1) - 1;
}

static int waits_write(void)
{
    return (int)write(full[1], "x", 1) - 1;
}

static int waits_recv(void)
{
    char byte;
    return (int)recv(pair[0], &byte, 1, 0) - 1;
}

static int waits_accept(void)
{
    int fd = accept(listener, NULL, NULL);
    return fd < 0 ? fd : close(fd);
}

static int waits_open(void)
{
    int fd = open(fifo, O_RDONLY);
    return fd < 0 ? fd : close(fd);
}

static int waits_child(void)
{
    int status;
    return waitpid(child, &status, 0) - child;
}

static int waits_child_id(void)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)child, &info, WEXITED);
}

static int waits_flock(void)
{
    int fd = open(locked, O_RDWR);
    int r = flock(fd, LOCK_EX);
    close(fd);
    return r;
}

static int waits_record(void)
{
    int fd = open(locked, O_RDWR);
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int r = fcntl(fd, F_OFD_SETLKW, &l);
    close(fd);
    return r;
}

static int waits_sem(void)
{
    return sem_wait(&sem);
}

static int lock_fd;

static void feed_read(void)
{
    SYS(write(pipes[1], "x", 1));
}

static void feed_write(void)
{
    char room[4096];
    SYS(read(full[0], room, sizeof room));
}

static void feed_recv(void)
{
    SYS(send(pair[1], "x", 1, 0));
}

static void feed_accept(void)
{
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    int fd = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(getsockname(listener, (struct sockaddr *)&a, &n));
    SYS(connect(fd, (struct sockaddr *)&a, n));
    close(fd);
}

static void feed_open(void)
{
    close(SYS(open(fifo, O_WRONLY)));
}

static void feed_child(void)
{
    SYS(kill(child, SIGKILL));
}

static void feed_flock(void)
{
    SYS(flock(lock_fd, LOCK_UN));
}

static void feed_record(void)
{
    struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    SYS(fcntl(lock_fd, F_OFD_SETLK, &l));
}

static void feed_sem(void)
{
    SYS(sem_post(&sem));
}

static const struct {
    int (*wait)(void);
    void (*feed)(void);
} restarted[] = {
    { waits_read, feed_read },      { waits_write, feed_write }, { waits_recv, feed_recv },
    { waits_accept, feed_accept },  { waits_open, feed_open },   { waits_child, feed_child },
    { waits_child_id, feed_child }, { waits_flock, feed_flock }, { waits_record, feed_record },
    { waits_sem, feed_sem },
};
#define RESTARTED ((int)(sizeof restarted / sizeof *restarted))

static void *is_restarted(void *arg)
{
    int i = (int)(long)arg;
    entered = 1;
    int r = restarted[i].wait(), error = errno;
    if (r != 0 || handled < 3) {
        dprintf(2, "restarted call %d: %d, %s\n", i, r, strerror(error));
        _exit(1);
    }
    done = 1;
    return NULL;
}

static pthread_t begin(void *(*body)(void *), int i)
{
    entered = handled = done = 0;
    pthread_t thread = start(body, (void *)(long)i);
    while (!entered) {
        nap(1);
    }
    nap(5);
    return thread;
}

static void prepare(void)
{
    static char directory[] = "/tmp/signal-calls-XXXXXX";
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct epoll_event e = { .events = EPOLLIN };
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(mkdtemp(directory) != NULL);
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    snprintf(locked, sizeof locked, "%s/locked", directory);
    SYS(mkfifo(fifo, 0600));
    lock_fd = SYS(open(locked, O_RDWR | O_CREAT, 0600));
    SYS(flock(lock_fd, LOCK_EX));
    SYS(fcntl(lock_fd, F_OFD_SETLK, &l));
    SYS(pipe(pipes));
    SYS(pipe2(full, O_NONBLOCK));
    while (write(full[1], fifo, sizeof fifo) > 0) {
    }
    while (write(full[1], fifo, 1) > 0) {
    }
    SYS(fcntl(full[1], F_SETFL, 0));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, timed));
    struct timeval long_time = { 60, 0 };
    SYS(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof long_time));
    listener = SYS(socket(AF_INET, SOCK_STREAM, 0));
    SYS(bind(listener, (struct sockaddr *)&address, sizeof address));
    SYS(listen(listener, 1));
    epoll = SYS(epoll_create1(0));
    SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &e));
    SYS(sem_init(&sem, 0, 0));
    if ((semaphores = semget(IPC_PRIVATE, 1, 0600)) < 0 ||
        (queue_id = msgget(IPC_PRIVATE, 0600)) < 0) {
        SKIP("no System V IPC");
    }
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    prepare();
    for (int i = 0; i < INTERRUPTED; i++) {
        pthread_t thread = begin(is_interrupted, i);
        OK(pthread_kill(thread, SIGUSR1));
        while (!done) { /* it may have been on its way to the call */
            nap(20);
            if (!done) {
                pthread_kill(thread, SIGUSR1);
            }
        }
        finish(thread);
    }
    for (int i = 0; i < RESTARTED; i++) {
        if (restarted[i].feed == feed_child && !(child = SYS(fork()))) {
            for (;;) {
                pause();
            }
        }
        pthread_t thread = begin(is_restarted, i);
        for (int n = 1; n <= 3; n++) {
            OK(pthread_kill(thread, SIGUSR1));
            while (handled < n) {
                nap(1);
            }
        }
        nap(2);
        CHECK(!done);
        restarted[i].feed();
        finish(thread);
    }
    SYS(semctl(semaphores, 0, IPC_RMID));
    SYS(msgctl(queue_id, IPC_RMID, NULL));
    unlink(fifo);
    unlink(locked);
    *strrchr(fifo, '/') = 0;
    rmdir(fifo);
    printf("%d interrupted, %d went on\n", INTERRUPTED, RESTARTED);
    return 0;
}
