/*
 * A signal sent with pthread_kill to a thread that waits, caught by a handler without SA_RESTART,
 * ends the wait with EINTR; the handler runs in that thread (POSIX pthread_kill, signal(7)).
 */
#include "check.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <stdatomic.h>

enum { KINDS = 12 };

static __thread volatile int handled;
static int pair[2], full[2], epoll;
static sem_t sem;
static atomic_int done;

static void handler(int signal)
{
    CHECK_EQ(signal, SIGUSR1);
    handled++;
}

static int wait_once(int how)
{
    static const char zeros[1 << 20];
    struct timespec second = { 1000, 0 };
    struct pollfd p = { .fd = pair[0], .events = POLLIN };
    struct epoll_event event;
    char byte;

    switch (how) {
    case 0:
        return (int)read(pair[0], &byte, 1);
    case 1:
        return (int)recv(pair[0], &byte, 1, 0);
    case 2:
        return poll(&p, 1, -1);
    case 3:
        return select(0, NULL, NULL, NULL, NULL);
    case 4:
        return epoll_wait(epoll, &event, 1, -1);
    case 5:
        return sem_wait(&sem);
    case 6:
        errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &second, NULL);
        return errno ? -1 : 0;
    case 7: {
        /* The rest of the time is told. */
        struct timespec rest = { 0, 0 };
        int result = nanosleep(&second, &rest);
        CHECK(rest.tv_sec > 900 && rest.tv_sec < 1000);
        return result;
    }
    case 8:
        return pause();
    case 9:
        return poll(NULL, 0, 1000000);
    case 10: {
        sigset_t none;
        sigemptyset(&none);
        return sigsuspend(&none);
    }
    default:
        /* The buffers are full, so not a byte was transferred. */
        return (int)send(full[0], zeros, sizeof(zeros), 0);
    }
}

static void *body(void *argument)
{
    int how = *(int *)argument;

    errno = 0;
    CHECK_EQ(wait_once(how), -1);
    CHECK_EQ(errno, EINTR);
    CHECK(handled > 0);
    done = 1;
    /* More signals may be on their way: stay until the sender has stopped. */
    while (done == 1) {
        nap(1);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    static const char zeros[4096];

    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, full));
    while (send(full[0], zeros, sizeof(zeros), MSG_DONTWAIT) > 0) {
    }
    while (send(full[0], zeros, 1, MSG_DONTWAIT) > 0) {
    }
    epoll = SYS(epoll_create1(0));
    SYS(sem_init(&sem, 0, 0));
    for (int how = 0; how < KINDS; how++) {
        done = 0;
        pthread_t thread = start(body, &how);
        /* It may not be waiting yet, so send until one has had its effect. */
        while (!done) {
            nap(3);
            if (!done) {
                OK(pthread_kill(thread, SIGUSR1));
            }
        }
        done = 2;
        finish(thread);
        CHECK_EQ(handled, 0);
    }
    return 0;
}
