/*
 * syscall(2) is no cancellation point, but the asynchronous type cancels a thread in any call that it
 * waits in, while one with the deferred type gets its answer first (pthread_setcanceltype(3)).
 */
#include "check.h"

#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    PAUSE,
    FUTEX,
    FUTEX_SHARED,
    FUTEX_SEVERAL,
    READ,
    READV,
    RECVFROM,
    ACCEPT,
    POLL,
    PPOLL,
    PSELECT,
    EPOLL,
    NANOSLEEP,
    SIGWAIT,
    SIGSUSPEND,
    WAIT,
    MSGRCV,
    FLOCK,
    CALLS
};

static const struct timespec hour = { .tv_sec = 3600 };
static sem_t ready;
static int pipes[2], sockets[2], listener, epoll, queue, locked, again;
static pid_t child;
static uint32_t word;
static atomic_int returned;

static void wait_in(int which)
{
    char byte;
    struct iovec part = { &byte, 1 };
    struct pollfd reader = { pipes[0], POLLIN, 0 };
    struct epoll_event event;
    fd_set set;
    uint64_t none = 0, some = 1ULL << (SIGUSR1 - 1);
    struct futex_waitv several = { .uaddr = (uintptr_t)&word,
                                   .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };
    struct {
        long type;
        char text[4];
    } message;

    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    switch (which) {
    case PAUSE:
        syscall(SYS_pause);
        break;
    case FUTEX:
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL);
        break;
    case FUTEX_SHARED:
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL);
        break;
    case FUTEX_SEVERAL:
        syscall(SYS_futex_waitv, &several, 1, 0, NULL, CLOCK_MONOTONIC);
        break;
    case READ:
        syscall(SYS_read, pipes[0], &byte, 1);
        break;
    case READV:
        syscall(SYS_readv, pipes[0], &part, 1);
        break;
    case RECVFROM:
        syscall(SYS_recvfrom, sockets[0], &byte, 1, 0, NULL, NULL);
        break;
    case ACCEPT:
        syscall(SYS_accept4, listener, NULL, NULL, 0);
        break;
    case POLL:
        syscall(SYS_poll, &reader, 1, -1);
        break;
    case PPOLL:
        syscall(SYS_ppoll, &reader, 1, NULL, &none, 8);
        break;
    case PSELECT:
        syscall(SYS_pselect6, pipes[0] + 1, &set, NULL, NULL, NULL, NULL);
        break;
    case EPOLL:
        syscall(SYS_epoll_wait, epoll, &event, 1, -1);
        break;
    case NANOSLEEP:
        syscall(SYS_nanosleep, &hour, NULL);
        break;
    case SIGWAIT:
        syscall(SYS_rt_sigtimedwait, &some, NULL, NULL, 8);
        break;
    case SIGSUSPEND:
        syscall(SYS_rt_sigsuspend, &none, 8);
        break;
    case WAIT:
        syscall(SYS_wait4, child, NULL, 0, NULL);
        break;
    case MSGRCV:
        syscall(SYS_msgrcv, queue, &message, sizeof message.text, 0, 0);
        break;
    case FLOCK:
        syscall(SYS_flock, again, LOCK_EX);
        break;
    }
}

static void *asynchronous(void *argument)
{
    OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    sem_post(&ready);
    wait_in(*(int *)argument);
    if (errno == ENOSYS) { /* an older kernel */
        pause();
    }
    return NULL;
}

static void *deferred(void *argument)
{
    sem_post(&ready);
    wait_in(*(int *)argument);
    returned = 1;
    for (;;)
        pthread_testcancel();
    return NULL;
}

/* Something to read on the pipe ends the wait of those that watch it, and of no others. */
static const int by_byte[] = { READ, READV, POLL, PPOLL, PSELECT, EPOLL };

int main(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    pthread_t thread;
    void *result;
    char name[] = "/tmp/cancel-async-raw-XXXXXX", byte;

    OK(sem_init(&ready, 0, 0));
    SYS(pipe(pipes));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    SYS(listener = socket(AF_INET, SOCK_STREAM, 0));
    SYS(listen(listener, 1));
    SYS(epoll = epoll_create1(0));
    SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event));
    SYS(queue = msgget(IPC_PRIVATE, 0600));
    SYS(locked = mkstemp(name));
    SYS(again = open(name, O_RDWR));
    SYS(unlink(name));
    SYS(flock(locked, LOCK_EX));
    SYS(child = fork());
    if (!child) {
        for (;;)
            pause();
    }
    for (int which = 0; which < CALLS; which++) {
        for (int late = 0; late < 2; late++) {
            OK(pthread_create(&thread, NULL, asynchronous, &which));
            sem_wait(&ready);
            if (late)
                usleep(30000);
            OK(pthread_cancel(thread));
            OK(pthread_join(thread, &result));
            CHECK(result == PTHREAD_CANCELED);
        }
    }
    for (unsigned i = 0; i < sizeof by_byte / sizeof by_byte[0]; i++) {
        int which = by_byte[i];
        returned = 0;
        OK(pthread_create(&thread, NULL, deferred, &which));
        sem_wait(&ready);
        usleep(10000);
        OK(pthread_cancel(thread));
        usleep(10000);
        CHECK_EQ(returned, 0);
        SYS(write(pipes[1], "x", 1));
        OK(pthread_join(thread, &result));
        CHECK_EQ(returned, 1);
        CHECK(result == PTHREAD_CANCELED);
        if (which != READ && which != READV)
            CHECK_EQ(read(pipes[0], &byte, 1), 1);
    }
    SYS(kill(child, SIGKILL));
    SYS(waitpid(child, NULL, 0));
    SYS(msgctl(queue, IPC_RMID, NULL));
    return 0;
}
