/* epoll_pwait2: its timeout is in nanoseconds, NULL for ever, and many threads may wait; the mask is in
 * force while it waits. */
#include "check.h"

#include <signal.h>
#include <sys/epoll.h>

static volatile sig_atomic_t handled;
static _Atomic int ready;

static void on_signal(int sig)
{
    handled = sig;
}

static void *waiter(void *argument)
{
    int *p = argument, e = SYS(epoll_create1(0));
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = 77 }, got;
    struct timespec soon = { 0, 2000000 }, bad = { 0, -1 }, zero = { 0, 0 };
    sigset_t none, usr;

    SYS(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &event));
    struct timespec end = from_now(CLOCK_MONOTONIC, 2);
    CHECK_EQ(SYS(epoll_pwait2(e, &got, 1, &soon, NULL)), 0);
    CHECK(reached(CLOCK_MONOTONIC, end));
    CHECK_EQ(SYS(epoll_pwait2(e, &got, 1, &zero, NULL)), 0);
    FAILS(epoll_pwait2(e, &got, 1, &bad, NULL), EINVAL);
    FAILS(epoll_pwait2(e, &got, 0, &soon, NULL), EINVAL);
    FAILS(epoll_pwait2(p[0], &got, 1, &soon, NULL), EINVAL);
    sigemptyset(&none);
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &usr, NULL));
    OK(pthread_kill(pthread_self(), SIGUSR1));
    CHECK_EQ(handled, 0);
    FAILS(epoll_pwait2(e, &got, 1, NULL, &none), EINTR);
    CHECK_EQ(handled, SIGUSR1);
    handled = 0;
    ready = 1;
    CHECK_EQ(SYS(epoll_pwait2(e, &got, 1, NULL, NULL)), 1);
    CHECK_EQ(got.data.u64, 77);
    SYS(close(e));
    return NULL;
}

int main(void)
{
    int p[2], e = SYS(epoll_create1(0));
    struct epoll_event got;
    struct timespec zero = { 0, 0 };
    struct sigaction action = { .sa_handler = on_signal };

    watchdog();
    if (epoll_pwait2(e, &got, 1, &zero, NULL) < 0 && errno == ENOSYS)
        SKIP("no epoll_pwait2 (Linux 5.11)");
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 5; i++) {
        SYS(pipe(p));
        pthread_t thread = start(waiter, p);
        while (!ready)
            nap(5);
        nap(i < 2 ? 30 : 0);
        ready = 0;
        SYS(write(p[1], "x", 1));
        finish(thread);
    }
    return 0;
}
