/*
 * A signal that a call's own mask lets through is never lost between the change of the mask and the wait,
 * whoever sends it: ppoll, pselect, epoll_pwait and sigsuspend answer EINTR each time. The handler runs under
 * the call's mask, returns to the old one, and sees the old one in its context.
 */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <ucontext.h>

enum { PPOLL, PSELECT, EPOLL_PWAIT, SIGSUSPEND, CALLS };

static int quiet[2], epfd;
static atomic_int asked, stop;
static volatile int handled, which;

static void handler(int sig, siginfo_t *info, void *context)
{
    sigset_t now, *before = &((ucontext_t *)context)->uc_sigmask;

    (void)info;
    CHECK_EQ(sig, SIGUSR1);
    OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR2), 1); /* the call's mask */
    CHECK_EQ(sigismember(&now, SIGWINCH), 0);
    CHECK_EQ(sigismember(before, SIGUSR1), 1); /* the old one */
    CHECK_EQ(sigismember(before, SIGUSR2), 0);
    CHECK_EQ(sigismember(before, SIGWINCH), 1);
    handled++;
}

static int call(const sigset_t *mask)
{
    struct pollfd p = { quiet[0], POLLIN, 0 };
    struct epoll_event e;
    fd_set set;

    switch (which) {
    case PPOLL:
        return ppoll(&p, 1, NULL, mask);
    case PSELECT:
        FD_ZERO(&set);
        FD_SET(quiet[0], &set);
        return pselect(quiet[0] + 1, &set, NULL, NULL, NULL, mask);
    case EPOLL_PWAIT:
        return epoll_pwait(epfd, &e, 1, -1, mask);
    default:
        return sigsuspend(mask);
    }
}

static pthread_t waiter;

static void *sends(void *argument)
{
    unsigned random = 1;

    for (int seen = 0; !atomic_load(&stop);) {
        if (atomic_load(&asked) == seen) {
            sched_yield();
            continue;
        }
        seen++;
        random = random * 1103515245 + 12345;
        for (volatile unsigned i = random >> 16 & 4095; i; i--) {
        }
        if (argument) {
            SYS(kill(getpid(), SIGUSR1));
        } else {
            OK(pthread_kill(waiter, SIGUSR1));
        }
    }
    return NULL;
}

static void set_masks(sigset_t *old, sigset_t *during)
{
    sigemptyset(old);
    sigaddset(old, SIGUSR1);
    sigaddset(old, SIGWINCH);
    sigemptyset(during);
    sigaddset(during, SIGUSR2);
}

static void *waits(void *argument)
{
    int rounds = (int)(long)argument;
    sigset_t old, during, now;

    set_masks(&old, &during);
    for (which = 0; which < CALLS; which++) {
        for (int i = 1; i <= rounds; i++) {
            handled = 0;
            atomic_fetch_add(&asked, 1);
            CHECK_EQ(call(&during), -1);
            CHECK_EQ(errno, EINTR);
            CHECK_EQ(handled, 1);
            OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
            CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGWINCH));
            CHECK(!sigismember(&now, SIGUSR2));
        }
    }
    return NULL;
}

/* Another process sends one for each byte. */
static pid_t sender(int *order)
{
    int ends[2];
    pid_t parent = getpid(), child;

    SYS(pipe(ends));
    child = SYS(fork());
    if (child == 0) {
        char byte;

        close(ends[1]);
        while (read(ends[0], &byte, 1) == 1) {
            kill(parent, SIGUSR1);
        }
        _exit(0);
    }
    close(ends[0]);
    *order = ends[1];
    return child;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    struct epoll_event e = { .events = EPOLLIN };
    sigset_t old, during;
    pthread_t helper;
    pid_t child;
    int order;

    watchdog();
    SYS(pipe(quiet));
    epfd = SYS(epoll_create1(0));
    SYS(epoll_ctl(epfd, EPOLL_CTL_ADD, quiet[0], &e));
    SYS(sigaction(SIGUSR1, &action, NULL));
    set_masks(&old, &during);
    OK(pthread_sigmask(SIG_SETMASK, &old, NULL));
    child = sender(&order);

    for (long process = 0; process < 2; process++) {
        atomic_store(&stop, 0);
        atomic_store(&asked, 0);
        waiter = start(waits, (void *)(process ? 500L : 3000L));
        helper = start(sends, (void *)process);
        finish(waiter);
        atomic_store(&stop, 1);
        finish(helper);
    }

    for (which = 0; which < CALLS; which++) { /* main waits, and all others block it */
        for (int i = 0; i < 300; i++) {
            handled = 0;
            write_all(order, "", 1);
            CHECK_EQ(call(&during), -1);
            CHECK_EQ(errno, EINTR);
            CHECK_EQ(handled, 1);
        }
    }
    close(order);
    CHECK_EQ(reap(child), 0);
    return 0;
}
