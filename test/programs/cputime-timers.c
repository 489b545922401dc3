/*
 * Timers and sleeps on a thread's CPU clock, and timers that signal one thread (SIGEV_THREAD_ID).
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static atomic_int stop, fired;
static _Thread_local volatile int is_target;
static atomic_int on_target;

static void on_timer(int sig)
{
    (void)sig;
    atomic_fetch_add(&fired, 1);
    if (is_target) {
        atomic_fetch_add(&on_target, 1);
    }
}

static void *burner(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
    }
    return NULL;
}

/* A timer on its own CPU time, delivered to itself. */
static void *timed(void *argument)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
    struct itimerspec when = { { 0, 5000000 }, { 0, 5000000 } };
    timer_t timer;
    pid_t tid = gettid();

    is_target = 1;
    event.sigev_notify_thread_id = tid;
    SYS(timer_create(*(clockid_t *)argument, &event, &timer));
    CHECK_EQ(gettid(), tid);
    SYS(timer_settime(timer, 0, &when, NULL));
    while (atomic_load(&on_target) < 5) {
        if (*(clockid_t *)argument == CLOCK_MONOTONIC) {
            nap(1);
        }
    }
    SYS(timer_delete(timer));
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_timer, .sa_flags = SA_RESTART };
    static clockid_t own = CLOCK_THREAD_CPUTIME_ID, wall = CLOCK_MONOTONIC;
    struct timespec t = { 0, 20000000 }, before, after;
    pthread_t thread;
    clockid_t clock;

    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    finish(start(timed, &own));
    CHECK_EQ(atomic_load(&fired), atomic_load(&on_target));
    atomic_store(&on_target, 0);
    atomic_store(&fired, 0);
    finish(start(timed, &wall));
    CHECK_EQ(atomic_load(&fired), atomic_load(&on_target));

    thread = start(burner, NULL);
    OK(pthread_getcpuclockid(thread, &clock));
    SYS(clock_gettime(clock, &before));
    OK(clock_nanosleep(clock, 0, &t, NULL));
    SYS(clock_gettime(clock, &after));
    CHECK((after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec >=
          20000000);
    after.tv_nsec += 10000000;
    if (after.tv_nsec >= 1000000000) {
        after.tv_sec++;
        after.tv_nsec -= 1000000000;
    }
    OK(clock_nanosleep(clock, TIMER_ABSTIME, &after, NULL));
    CHECK(reached(clock, after));
    atomic_store(&stop, 1);
    finish(thread);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EINVAL);
    return 0;
}
