/* Errors of sending: no such signal, no such process or thread; 0 only asks; SIGKILL and SIGSTOP take no
 * handler and cannot be blocked. */
#include "check.h"
#include <signal.h>
#include <sys/syscall.h>

static volatile int stop;

static void *body(void *argument)
{
    while (!stop) {
        nap(1);
    }
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = SIG_IGN };
    sigset_t set;
    watchdog();
    pthread_t thread = start(body, NULL);
    for (int i = 0; i < 2; i++) {
        OK(pthread_kill(thread, 0));
        CHECK_EQ(pthread_kill(thread, 65), EINVAL);
        CHECK_EQ(pthread_kill(thread, -1), EINVAL);
        CHECK_EQ(pthread_sigqueue(thread, 65, (union sigval){ 0 }), EINVAL);
        SYS(kill(getpid(), 0));
        FAILS(kill(getpid(), 65), EINVAL);
        FAILS(raise(65), EINVAL);
        FAILS(raise(-1), EINVAL);
        FAILS(sigqueue(getpid(), 65, (union sigval){ 0 }), EINVAL);
        FAILS(kill(0x3fffffff, SIGUSR1), ESRCH);
        FAILS(syscall(SYS_tgkill, getpid(), 0x3fffffff, SIGUSR1), ESRCH);
        FAILS(syscall(SYS_tgkill, getpid(), -1, SIGUSR1), EINVAL);
        FAILS(syscall(SYS_tgkill, 0x3ffffff0, gettid(), SIGUSR1), ESRCH);
        FAILS(syscall(SYS_tkill, -1, SIGUSR1), EINVAL);
        SYS(syscall(SYS_tgkill, getpid(), gettid(), 0));
        FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
        FAILS(sigaction(SIGSTOP, &action, NULL), EINVAL);
        SYS(sigaction(SIGKILL, NULL, &action));
        CHECK(action.sa_handler == SIG_DFL);
        action.sa_handler = SIG_IGN;
        FAILS(sigaction(0, &action, NULL), EINVAL);
        FAILS(sigaction(65, &action, NULL), EINVAL);
        FAILS(sigprocmask(77, &action.sa_mask, NULL), EINVAL);
        CHECK_EQ(pthread_sigmask(77, &action.sa_mask, NULL), EINVAL);
        SYS(sigprocmask(77, NULL, NULL)); /* nothing is to be changed */
        sigfillset(&set);
        OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
        OK(pthread_sigmask(SIG_SETMASK, NULL, &set));
        CHECK_EQ(sigismember(&set, SIGKILL), 0);
        CHECK_EQ(sigismember(&set, SIGSTOP), 0);
        sigemptyset(&set);
        OK(pthread_sigmask(SIG_SETMASK, &set, NULL));
    }
    stop = 1;
    finish(thread);
    return 0;
}
