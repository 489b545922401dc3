/*
 * Absolute times on the CPU clock of a thread that has used much before anybody asked the kernel to watch
 * it: timers (timer_settime(2) with TIMER_ABSTIME, by libc and by number) and sleeps on another thread's
 * clock (clock_nanosleep(2)); and what is refused.
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define MS 1000000ll

static atomic_int fired, stop, burnt;
static clockid_t burners;

static long long cpu(clockid_t clock)
{
    struct timespec t;
    SYS(clock_gettime(clock, &t));
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static struct timespec time_of(long long ns)
{
    return (struct timespec){ ns / (1000 * MS), ns % (1000 * MS) };
}

static void handler(int sig)
{
    (void)sig;
    fired++;
}

static void *timed(void *argument)
{
    int raw = argument != NULL, id;
    clockid_t clock;
    struct itimerspec when = { 0 }, left;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    timer_t timer;

    while (cpu(CLOCK_THREAD_CPUTIME_ID) < 300 * MS) {
    }
    OK(pthread_getcpuclockid(pthread_self(), &clock));
    if (raw) {
        SYS(syscall(SYS_timer_create, clock, &event, &id));
    } else {
        SYS(timer_create(clock, &event, &timer));
    }
    for (int round = 0; round < 2; round++) {
        long long end = cpu(clock) + 20 * MS;
        int before = fired;
        when.it_value = time_of(end);
        if (raw) {
            SYS(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &when, NULL));
            SYS(syscall(SYS_timer_gettime, id, &left));
        } else {
            SYS(timer_settime(timer, TIMER_ABSTIME, &when, NULL));
            SYS(timer_gettime(timer, &left));
        }
        CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 21 * MS);
        while (fired == before) {
        }
        CHECK(cpu(clock) >= end);
        CHECK(cpu(clock) < end + 150 * MS);
    }
    /* Long ago. */
    int before = fired;
    when.it_value = time_of(1);
    SYS(raw ? syscall(SYS_timer_settime, id, TIMER_ABSTIME, &when, NULL)
            : timer_settime(timer, TIMER_ABSTIME, &when, NULL));
    while (fired == before) {
    }
    SYS(raw ? syscall(SYS_timer_delete, id) : timer_delete(timer));
    for (int i = 0; i < 1100; i++) { /* nothing is left of those that are gone */
        if (raw) {
            SYS(syscall(SYS_timer_create, clock, &event, &id));
            SYS(syscall(SYS_timer_delete, id));
        } else {
            SYS(timer_create(clock, &event, &timer));
            SYS(timer_delete(timer));
        }
    }
    CHECK_EQ(clock_nanosleep(clock, 0, &when.it_value, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &when.it_value, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &when.it_value, NULL), EINVAL);
    return NULL;
}

static void *burner(void *argument)
{
    OK(pthread_getcpuclockid(pthread_self(), &burners));
    while (!stop) {
        if (!burnt && cpu(CLOCK_THREAD_CPUTIME_ID) > 300 * MS) {
            burnt = 1;
        }
    }
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    struct timespec t, wrong = { 0, 1000 * MS };

    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    finish(start(timed, NULL));
    finish(start(timed, &action));

    pthread_t thread = start(burner, NULL);
    while (!burnt) {
        nap(5);
    }
    CHECK_EQ(clock_nanosleep(burners, 0, &wrong, NULL), EINVAL);
    for (int round = 0; round < 2; round++) {
        long long end = cpu(burners) + 20 * MS;
        t = time_of(end);
        OK(clock_nanosleep(burners, TIMER_ABSTIME, &t, NULL));
        CHECK(cpu(burners) >= end);
        CHECK(cpu(burners) < end + 150 * MS);
    }
    t = time_of(1);
    OK(clock_nanosleep(burners, TIMER_ABSTIME, &t, NULL));
    stop = 1;
    finish(thread);
    return 0;
}
