/* A timer with SIGEV_THREAD_ID for a thread that is in sigwait already, and one in sigsuspend. */
#include "check.h"
#include <signal.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile pid_t waiter;
static volatile int got;

static void handler(int sig)
{
    (void)sig;
    got++;
}

static void *waits(void *argument)
{
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 5);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    waiter = gettid();
    for (int i = 0; i < 3; i++) {
        if (argument) {
            sigset_t none;
            sigemptyset(&none);
            FAILS(sigsuspend(&none), EINTR);
            CHECK(got > i);
        } else {
            OK(sigwait(&set, &sig));
            CHECK_EQ(sig, SIGRTMIN + 5);
        }
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    watchdog();
    SYS(sigaction(SIGRTMIN + 5, &action, NULL));
    for (long way = 0; way < 2; way++) {
        waiter = 0;
        pthread_t thread = start(waits, (void *)way);
        while (!waiter) {
            nap(1);
        }
        nap(20);
        struct sigevent e = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 5 };
        struct itimerspec t = { { 0, 3000000 }, { 0, 3000000 } };
        timer_t timer;
        e.sigev_notify_thread_id = waiter;
        SYS(timer_create(CLOCK_MONOTONIC, &e, &timer));
        SYS(timer_settime(timer, 0, &t, NULL));
        finish(thread);
        SYS(timer_delete(timer));
    }
    return 0;
}
