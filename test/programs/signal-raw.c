/* The system calls themselves, through syscall(): rt_sigprocmask, rt_sigaction, rt_sigpending,
 * rt_sigtimedwait, rt_sigsuspend, rt_sigqueueinfo, rt_tgsigqueueinfo, sigaltstack agree with libc's
 * functions, whatever thread ran there in between. */
#include "check.h"

#include "signals.h"

#include <stdint.h>
#include <sys/syscall.h>

#define BIT(sig) (1ull << ((sig)-1))

static _Thread_local volatile int got, value;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    value = info->si_value.sival_int;
    got++;
}

static void *body(void *argument)
{
    uint64_t set = BIT(SIGUSR1), old, pending;
    struct timespec none = { 0, 0 };
    siginfo_t info;
    SYS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, &old, 8));
    CHECK_EQ(old & set, 0);
    usleep(500);
    CHECK_EQ(blocked(SIGUSR1), 1);
    SYS(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
    CHECK_EQ(got, 0);
    SYS(syscall(SYS_rt_sigpending, &pending, 8));
    CHECK_EQ(pending & set, set);
    CHECK_EQ(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8), SIGUSR1);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8), -1);
    CHECK_EQ(errno, EAGAIN);
    memset(&info, 0, sizeof info);
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_int = 12;
    SYS(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
    CHECK_EQ(got, 0);
    old = 0;
    CHECK_EQ(syscall(SYS_rt_sigsuspend, &old, 8), -1);
    CHECK_EQ(errno, EINTR);
    CHECK_EQ(got, 1);
    CHECK_EQ(value, 12);
    usleep(500);
    SYS(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &old, 8));
    CHECK_EQ(old & set, set);
    SYS(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8));
    CHECK_EQ(blocked(SIGUSR1), 0);
    raise(SIGUSR1);
    CHECK_EQ(got, 2);
    stack_t alt = { .ss_size = 65536, .ss_sp = argument }, now;
    SYS(syscall(SYS_sigaltstack, &alt, NULL));
    usleep(500);
    SYS(sigaltstack(NULL, &now));
    CHECK(now.ss_sp == argument);
    alt.ss_flags = SS_DISABLE;
    SYS(syscall(SYS_sigaltstack, &alt, NULL));
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(syscall(SYS_rt_sigprocmask, 77, &set, NULL, 8), -1);
    CHECK_EQ(errno, EINVAL);
    return NULL;
}

static void *busy(void *argument)
{
    for (int i = 0; i < 100; i++) {
        usleep(100);
        CHECK_EQ(blocked(SIGUSR1), 0);
        stack_t now;
        SYS(sigaltstack(NULL, &now));
        CHECK_EQ(now.ss_flags, SS_DISABLE);
    }
    return argument;
}

struct kernel_action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
    struct kernel_action raw = { 0 }, before;
    static char stacks[4][65536];
    pthread_t threads[8];
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &raw, 8));
    CHECK(raw.handler == handler);
    for (int i = 0; i < 8; i++) {
        threads[i] = i < 4 ? start(body, stacks[i]) : start(busy, NULL);
    }
    for (int i = 0; i < 8; i++) {
        finish(threads[i]);
    }
    raw.handler = (void (*)(int, siginfo_t *, void *))(uintptr_t)SIG_IGN;
    SYS(syscall(SYS_rt_sigaction, SIGUSR1, &raw, &before, 8));
    CHECK(before.handler == handler);
    SYS(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
    SYS(syscall(SYS_rt_sigaction, SIGUSR1, &before, &raw, 8));
    SYS(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_sigaction == handler);
    raise(SIGUSR1);
    CHECK_EQ(got, 1);
    return 0;
}
