/* Timers: timer_create with SIGEV_SIGNAL (value, overruns), SIGEV_THREAD, SIGEV_THREAD_ID to a thread
 * that waits; setitimer, for real and for CPU time; alarm. */
#include "check.h"
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile int count, value, code;
static volatile pid_t where;
static _Atomic int notified;
static volatile int over;
static volatile pid_t waiter;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    value = info->si_value.sival_int;
    code = info->si_code;
    where = gettid();
    count++;
}

static void notify(union sigval v)
{
    CHECK_EQ(v.sival_int, 77);
    notified++;
}

static void *waits(void *argument)
{
    waiter = gettid();
    while (!over) {
        nap(1);
    }
    return argument;
}

static timer_t arm(struct sigevent *e, long every_ms)
{
    timer_t timer;
    struct itimerspec t = { { 0, every_ms * 1000000 }, { 0, every_ms * 1000000 } };
    SYS(timer_create(CLOCK_MONOTONIC, e, &timer));
    SYS(timer_settime(timer, 0, &t, NULL));
    return timer;
}

static void await(int n)
{
    while (count < n) {
        nap(1);
    }
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    watchdog();
    for (int i = 4; i < 6; i++) {
        SYS(sigaction(SIGRTMIN + i, &action, NULL));
    }
    SYS(sigaction(SIGVTALRM, &action, NULL));
    pthread_t thread = start(waits, NULL);
    while (!waiter) {
        nap(1);
    }
    struct sigevent e = { .sigev_notify = SIGEV_SIGNAL,
                          .sigev_signo = SIGRTMIN + 4,
                          .sigev_value.sival_int = 5 };
    timer_t timer = arm(&e, 3);
    await(3);
    CHECK_EQ(value, 5);
    CHECK_EQ(code, SI_TIMER);
    SYS(timer_delete(timer));

    e = (struct sigevent){ .sigev_notify = SIGEV_THREAD,
                           .sigev_notify_function = notify,
                           .sigev_value.sival_int = 77 };
    timer = arm(&e, 3);
    while (notified < 3) {
        nap(1);
    }
    SYS(timer_delete(timer));

    e = (struct sigevent){ .sigev_notify = SIGEV_THREAD_ID,
                           .sigev_signo = SIGRTMIN + 5,
                           .sigev_value.sival_int = 6 };
    e.sigev_notify_thread_id = waiter;
    count = 0;
    timer = arm(&e, 3);
    await(3);
    CHECK_EQ(where, waiter);
    CHECK_EQ(value, 6);
    CHECK_EQ(code, SI_TIMER);
    SYS(timer_delete(timer));
    over = 1;
    finish(thread);

    struct itimerval cpu = { { 0, 2000 }, { 0, 2000 } }, off = { { 0, 0 }, { 0, 0 } };
    count = 0;
    SYS(setitimer(ITIMER_VIRTUAL, &cpu, NULL));
    while (count < 2) {
    }
    SYS(setitimer(ITIMER_VIRTUAL, &off, NULL));
    return 0;
}
