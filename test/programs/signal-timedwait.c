/* sigtimedwait and sigwaitinfo: the time passes, EINVAL, EINTR by another signal's handler also with
 * SA_RESTART, a handler of a waited-for signal does not run; sigwait goes on. */
#include "check.h"
#include <signal.h>

static volatile int got, ready;

static void handler(int sig)
{
    (void)sig;
    got++;
}

static void *body(void *argument)
{
    sigset_t set;
    struct timespec brief = { 0, 10000000 }, wrong = { 0, 1000000000 }, t;
    siginfo_t info;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    t = from_now(CLOCK_MONOTONIC, 10);
    FAILS(sigtimedwait(&set, &info, &brief), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, t));
    FAILS(sigtimedwait(&set, &info, &wrong), EINVAL);
    ready = 1;
    FAILS(sigwaitinfo(&set, &info), EINTR);
    CHECK(got >= 1);
    ready = 2;
    while ((sig = sigwaitinfo(&set, NULL)) < 0) {
        CHECK_EQ(errno, EINTR); /* one more than needed */
    }
    CHECK_EQ(sig, SIGUSR1);
    ready = 3;
    OK(sigwait(&set, &sig)); /* the handler runs meanwhile */
    CHECK_EQ(sig, SIGUSR1);
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigset_t set;
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGUSR2, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pthread_t thread = start(body, NULL);
    while (ready < 1) {
        nap(1);
    }
    while (ready < 2) { /* the first may come before the wait */
        nap(10);
        OK(pthread_kill(thread, SIGUSR2));
    }
    OK(pthread_kill(thread, SIGUSR1));
    while (ready < 3) {
        nap(1);
    }
    nap(20);
    int before = got;
    OK(pthread_kill(thread, SIGUSR2));
    while (got == before) {
        nap(1);
    }
    nap(10);
    OK(pthread_kill(thread, SIGUSR1));
    finish(thread);
    return 0;
}
