/* ppoll, pselect, epoll_pwait with a mask: a blocked signal comes during the call and not before or after,
 * pending ones end it at once, the mask is back; with SA_RESTART too they answer EINTR. */
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

static _Thread_local volatile int got;
static pthread_barrier_t meet;
static int pipes[2], epfd;

static void handler(int sig)
{
    (void)sig;
    got++;
}

static int call(int which, const sigset_t *mask, const struct timespec *timeout)
{
    struct pollfd p = { pipes[0], POLLIN, 0 };
    struct epoll_event e;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    switch (which) {
    case 0:
        return ppoll(&p, 1, timeout, mask);
    case 1:
        return pselect(pipes[0] + 1, &set, NULL, NULL, timeout, mask);
    default:
        return epoll_pwait(epfd, &e, 1, timeout ? (int)(timeout->tv_nsec / 1000000) : -1, mask);
    }
}

static void *body(void *argument)
{
    int which = (int)(long)argument;
    struct timespec brief = { 0, 20000000 };
    sigset_t open, now;
    sigemptyset(&open);
    for (int pending = 0; pending < 2; pending++) {
        got = 0;
        pthread_barrier_wait(&meet);
        if (pending) {
            pthread_barrier_wait(&meet);
        }
        CHECK_EQ(got, 0);
        CHECK_EQ(call(which, &open, NULL), -1);
        CHECK_EQ(errno, EINTR);
        CHECK_EQ(got, 1);
        OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
        CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    }
    CHECK_EQ(call(which, &open, &brief), 0);
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet); /* it is pending, and blocked in this call */
    CHECK_EQ(call(which, NULL, &brief), 0);
    CHECK_EQ(got, 1);
    pthread_sigmask(SIG_SETMASK, &open, NULL);
    CHECK_EQ(got, 2);
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    struct epoll_event e = { .events = EPOLLIN };
    sigset_t set;
    watchdog();
    SYS(pipe(pipes));
    epfd = SYS(epoll_create1(0));
    SYS(epoll_ctl(epfd, EPOLL_CTL_ADD, pipes[0], &e));
    SYS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    OK(pthread_barrier_init(&meet, NULL, 2));
    for (long which = 0; which < 3; which++) {
        pthread_t thread = start(body, (void *)which);
        pthread_barrier_wait(&meet);
        nap(30);
        OK(pthread_kill(thread, SIGUSR1));
        pthread_barrier_wait(&meet);
        OK(pthread_kill(thread, SIGUSR1));
        pthread_barrier_wait(&meet);
        pthread_barrier_wait(&meet);
        OK(pthread_kill(thread, SIGUSR1));
        pthread_barrier_wait(&meet);
        finish(thread);
    }
    return 0;
}
