/*
 * A thread's CPU clock counts its own time: a computing thread's runs, a sleeping one's stands, they
 * never go back, and the process's is at least their sum. Also through pthread_getcpuclockid,
 * getrusage and system calls.
 */
#include "check.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static atomic_int stop;
static sem_t never;

static long long cpu(clockid_t clock)
{
    struct timespec t;

    SYS(clock_gettime(clock, &t));
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long long usage(void)
{
    struct rusage u;

    SYS(getrusage(RUSAGE_THREAD, &u));
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000ll +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000ll;
}

static void burn(long long ns)
{
    long long begin = cpu(CLOCK_PROCESS_CPUTIME_ID);

    while (cpu(CLOCK_PROCESS_CPUTIME_ID) - begin < ns) {
        for (volatile int i = 0; i < 100000; i++) {
        }
    }
}

/* Uses CPU until told to stop, and says how much it says it used. */
static void *burner(void *argument)
{
    long long last = 0;

    while (!atomic_load(&stop)) {
        for (volatile int i = 0; i < 100000; i++) {
        }
        if (argument) { /* now and then with others between */
            long long now = cpu(CLOCK_THREAD_CPUTIME_ID);

            CHECK(now >= last);
            last = now;
            sched_yield();
        }
    }
    *(volatile long long *)&last = cpu(CLOCK_THREAD_CPUTIME_ID);
    return (void *)(intptr_t)last;
}

static void *sleeper(void *argument)
{
    (void)argument;
    while (sem_wait(&never) < 0) {
    }
    return NULL;
}

static void *burns_first(void *argument)
{
    struct timespec t;

    (void)argument;
    /* Nobody has asked for anything yet: the clock still knows. */
    burn(200 * 1000000ll);
    CHECK(cpu(CLOCK_THREAD_CPUTIME_ID) > 10 * 1000000ll);
    SYS(syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &t));
    CHECK(t.tv_sec * 1000000000ll + t.tv_nsec > 10 * 1000000ll);
    SYS(clock_getres(CLOCK_THREAD_CPUTIME_ID, &t));
    CHECK(t.tv_sec == 0);
    return NULL;
}

int main(void)
{
    pthread_t a, b, s;
    clockid_t of_a, of_b, of_s, of_me;
    long long a0, b0, s0, a1, b1, s1, me0, process0;

    watchdog();
    SYS(sem_init(&never, 0, 0));
    finish(start(burns_first, NULL));
    a = start(burner, NULL);
    b = start(burner, &stop);
    s = start(sleeper, NULL);
    OK(pthread_getcpuclockid(a, &of_a));
    OK(pthread_getcpuclockid(b, &of_b));
    OK(pthread_getcpuclockid(s, &of_s));
    OK(pthread_getcpuclockid(pthread_self(), &of_me));
    nap(50);
    process0 = cpu(CLOCK_PROCESS_CPUTIME_ID);
    a0 = cpu(of_a);
    b0 = cpu(of_b);
    s0 = cpu(of_s);
    me0 = cpu(of_me);
    do {
        nap(50);
        a1 = cpu(of_a);
        b1 = cpu(of_b);
    } while (a1 - a0 < 20 * 1000000ll || b1 - b0 < 20 * 1000000ll);
    s1 = cpu(of_s);
    /* Their sum fits into the process's. */
    CHECK((a1 - a0) + (b1 - b0) <= cpu(CLOCK_PROCESS_CPUTIME_ID) - process0 + 5000000);
    CHECK(s1 - s0 < 20 * 1000000ll);
    CHECK(cpu(of_me) - me0 < 150 * 1000000ll);
    atomic_store(&stop, 1);
    CHECK((long long)(intptr_t)finish(a) >= a1);
    CHECK((long long)(intptr_t)finish(b) >= b1);

    me0 = cpu(CLOCK_THREAD_CPUTIME_ID);
    a0 = usage();
    burn(30 * 1000000ll);
    CHECK(cpu(CLOCK_THREAD_CPUTIME_ID) - me0 >= 20 * 1000000ll);
    CHECK(usage() - a0 >= 15 * 1000000ll);
    CHECK(cpu(of_me) >= me0);
    CHECK(cpu(of_s) - s0 < 20 * 1000000ll);
    sem_post(&never);
    finish(s);
    return 0;
}
