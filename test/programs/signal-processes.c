/* Signals and processes, with threads about: a child of fork has nothing pending but its parent's alternate
 * stack; exec makes handlers the default again and keeps what is ignored, and has no alternate stack; kill(0)
 * and kill(-group) reach each process of the group; SA_NOCLDSTOP; timers that were late tell how often. */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

static _Atomic int handled, overruns, stopped;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    handled++;
    if (info->si_code == SI_TIMER) {
        overruns += info->si_overrun;
    }
    if (info->si_code == CLD_STOPPED) {
        stopped++;
    }
}

static int is_pending(int sig)
{
    sigset_t set;
    SYS(sigpending(&set));
    return sigismember(&set, sig);
}

/* After exec. */
static int executed(void)
{
    struct sigaction a;
    stack_t alt;
    SYS(sigaction(SIGUSR1, NULL, &a));
    CHECK(a.sa_handler == SIG_DFL);
    SYS(sigaction(SIGUSR2, NULL, &a));
    CHECK(a.sa_handler == SIG_IGN);
    SYS(sigaltstack(NULL, &alt));
    CHECK_EQ(alt.ss_flags, SS_DISABLE);
    return 0;
}

static void forks(void)
{
    static char room[65536];
    stack_t alt = { .ss_sp = room, .ss_size = sizeof room }, now;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, &before));
    SYS(sigaltstack(&alt, NULL));
    OK(pthread_kill(pthread_self(), SIGUSR1));
    CHECK(is_pending(SIGUSR1));
    pid_t child = SYS(fork());
    if (!child) {
        CHECK(!is_pending(SIGUSR1));
        SYS(sigaltstack(NULL, &now));
        CHECK(now.ss_sp == room);
        OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
        CHECK_EQ(handled, 0);
        signal(SIGUSR2, SIG_IGN);
        execl("/proc/self/exe", "signal-processes", "executed", NULL);
        _exit(1);
    }
    CHECK_EQ(reap(child), 0);
    OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
    while (!handled) {
        nap(1);
    }
    alt.ss_flags = SS_DISABLE;
    SYS(sigaltstack(&alt, NULL));
}

static void groups(void)
{
    int ready[2];
    char byte;
    SYS(pipe(ready));
    pid_t leader = SYS(fork());
    if (!leader) {
        watchdog();
        SYS(setpgid(0, 0));
        pid_t other = SYS(fork());
        if (!other) {
            watchdog();
            SYS(write(ready[1], "o", 1));
            while (handled < 2) {
                nap(1);
            }
            _exit(5);
        }
        handled = 0;
        SYS(write(ready[1], "l", 1));
        while (!handled) {
            nap(1); /* the parent's */
        }
        SYS(kill(0, SIGUSR1));
        CHECK_EQ(WEXITSTATUS(reap(other)), 5);
        _exit(handled >= 2 ? 6 : 1);
    }
    read_all(ready[0], &byte, 1);
    read_all(ready[0], &byte, 1);
    handled = 0;
    SYS(kill(-leader, SIGUSR1));
    CHECK_EQ(WEXITSTATUS(reap(leader)), 6);
    CHECK_EQ(handled, 0); /* not in that group */
}

static void children(int flags, int expected)
{
    struct sigaction action = { .sa_sigaction = handler,
                                .sa_flags = SA_SIGINFO | SA_RESTART | flags };
    int status;
    SYS(sigaction(SIGCHLD, &action, NULL));
    stopped = 0;
    pid_t child = SYS(fork());
    if (!child) {
        for (;;) {
            pause();
        }
    }
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(SYS(waitpid(child, &status, WUNTRACED)), child);
    CHECK(WIFSTOPPED(status));
    for (int i = 0; i < 100 && stopped < expected; i++) {
        nap(5);
    }
    CHECK_EQ(stopped, expected);
    SYS(kill(child, SIGKILL));
    reap(child);
    signal(SIGCHLD, SIG_DFL);
}

static void late_timers(void)
{
    struct sigevent e = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec t = { { 0, 1000000 }, { 0, 1000000 } };
    struct itimerval cpu = { { 0, 2000 }, { 0, 2000 } }, off = { { 0, 0 }, { 0, 0 } };
    timer_t timer;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    SYS(timer_create(CLOCK_MONOTONIC, &e, &timer));
    overruns = 0;
    SYS(timer_settime(timer, 0, &t, NULL));
    nap(30);
    OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    while (overruns < 5) {
        nap(1);
    }
    SYS(timer_delete(timer));
    handled = 0;
    SYS(setitimer(ITIMER_PROF, &cpu, NULL));
    while (handled < 2) {
    }
    SYS(setitimer(ITIMER_PROF, &off, NULL));
}

static void *all(void *arg)
{
    forks();
    groups();
    children(0, 1);
    children(SA_NOCLDSTOP, 0);
    return arg;
}

static void *sleeper(void *arg)
{
    sigset_t set;
    sigfillset(&set);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    nap(50);
    return arg;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    (void)argv;
    watchdog();
    if (argc > 1) {
        return executed();
    }
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGPROF, &action, NULL));
    pthread_t other = start(sleeper, NULL);
    finish(start(all, NULL));
    late_timers();
    finish(other);
    puts("the rules hold between processes");
    return 0;
}
