/*
 * What comes first in a call with a mask of its own. What is ready wins over a signal, which stays pending
 * without its handler having run. A signal wins over the time in ppoll and pselect, not in epoll_pwait. All
 * that the mask lets through is handled in one call, unless a handler's own mask keeps it back. A handler may
 * leave by siglongjmp.
 */
#include "check.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int ends[2], epfd;
static volatile int one, two, leave;
static sigjmp_buf back;
static sigset_t both, none, now;

static void handler(int sig)
{
    *(sig == SIGUSR1 ? &one : &two) += 1;
    if (leave) {
        siglongjmp(back, 1);
    }
}

static int call(int which, int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L }, *timeout = ms < 0 ? NULL : &t;
    struct pollfd p = { ends[0], POLLIN, 0 };
    struct epoll_event e;
    fd_set set;

    switch (which) {
    case 0:
        return ppoll(&p, 1, timeout, &none);
    case 1:
        FD_ZERO(&set);
        FD_SET(ends[0], &set);
        return pselect(ends[0] + 1, &set, NULL, NULL, timeout, &none);
    default:
        return epoll_pwait(epfd, &e, 1, ms, &none);
    }
}

static void pend(int sig)
{
    OK(pthread_kill(pthread_self(), sig));
}

static void check_blocked(void)
{
    OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
    CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
}

static void *each(void *argument)
{
    int which = (int)(long)argument;
    struct sigaction action = { .sa_handler = handler };

    sigemptyset(&action.sa_mask);
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGUSR2, &action, NULL));

    /* ready and pending */
    one = two = 0;
    write_all(ends[1], "x", 1);
    pend(SIGUSR1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(call(which, i == 0 ? -1 : i == 1 ? 0 : 100), 1);
        CHECK_EQ(one, 0);
        SYS(sigpending(&now));
        CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    }
    read_all(ends[0], (char[1]){ 0 }, 1);

    /* pending, and no time: a process asks both */
    if (which == 2) {
        CHECK_EQ(call(which, 0), 0);
        CHECK_EQ(one, 0);
    } else {
        FAILS(call(which, 0), EINTR);
        CHECK_EQ(one, 1);
        pend(SIGUSR1);
    }
    FAILS(call(which, 10000), EINTR);
    CHECK_EQ(one, which == 2 ? 1 : 2);
    check_blocked();

    /* sent to the process */
    one = 0;
    SYS(kill(getpid(), SIGUSR1));
    FAILS(call(which, which == 2 ? -1 : 0), EINTR);
    CHECK_EQ(one, 1);

    /* two: both in one call */
    one = two = 0;
    pend(SIGUSR1);
    pend(SIGUSR2);
    FAILS(call(which, -1), EINTR);
    CHECK_EQ(one, 1);
    CHECK_EQ(two, 1);
    check_blocked();

    /* unless the first keeps the second back */
    one = two = 0;
    action.sa_mask = both;
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGUSR2, &action, NULL));
    pend(SIGUSR1);
    pend(SIGUSR2);
    FAILS(call(which, -1), EINTR);
    CHECK_EQ(one + two, 1);
    FAILS(call(which, -1), EINTR);
    CHECK_EQ(one + two, 2);
    check_blocked();
    CHECK_EQ(call(which, 5), 0);

    /* out of the handler */
    leave = 1;
    one = 0;
    pend(SIGUSR1);
    if (!sigsetjmp(back, 1)) {
        call(which, -1);
        CHECK(!"came back");
    }
    leave = 0;
    CHECK_EQ(one, 1);
    check_blocked();
    pend(SIGUSR1);
    FAILS(call(which, -1), EINTR);
    CHECK_EQ(one, 2);
    check_blocked();
    return NULL;
}

int main(void)
{
    struct epoll_event e = { .events = EPOLLIN };

    watchdog();
    SYS(pipe(ends));
    epfd = SYS(epoll_create1(0));
    SYS(epoll_ctl(epfd, EPOLL_CTL_ADD, ends[0], &e));
    sigemptyset(&none);
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    OK(pthread_sigmask(SIG_BLOCK, &both, NULL));
    for (long which = 0; which < 3; which++) {
        finish(start(each, (void *)which));
    }
    return 0;
}
