/* sigpending: what is pending for the thread and for the process, if blocked; and sigtimedwait takes
 * a thread's own before the process's. */
#include "check.h"
#include <signal.h>

static pthread_barrier_t meet;

static void *body(void *argument)
{
    sigset_t pending, set;
    struct timespec now = { 0, 0 };
    siginfo_t info;
    pthread_barrier_wait(&meet);
    pthread_barrier_wait(&meet);
    SYS(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR1), 1); /* ours */
    CHECK_EQ(sigismember(&pending, SIGUSR2), 1); /* everybody's */
    CHECK_EQ(sigismember(&pending, SIGRTMIN), 1);
    CHECK_EQ(sigismember(&pending, SIGALRM), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK_EQ(sigtimedwait(&set, &info, &now), SIGRTMIN);
    CHECK_EQ(info.si_value.sival_int, 2);
    CHECK_EQ(sigtimedwait(&set, &info, &now), SIGRTMIN);
    CHECK_EQ(info.si_value.sival_int, 1);
    FAILS(sigtimedwait(&set, &info, &now), EAGAIN);
    SYS(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGRTMIN), 0);
    CHECK_EQ(sigismember(&pending, SIGUSR1), 1);
    return argument;
}

int main(void)
{
    sigset_t set;
    watchdog();
    sigfillset(&set);
    OK(pthread_sigmask(SIG_SETMASK, &set, NULL));
    OK(pthread_barrier_init(&meet, NULL, 2));
    pthread_t thread = start(body, NULL);
    pthread_barrier_wait(&meet);
    SYS(kill(getpid(), SIGUSR2));
    SYS(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 1 }));
    OK(pthread_sigqueue(thread, SIGRTMIN, (union sigval){ .sival_int = 2 }));
    OK(pthread_kill(thread, SIGUSR1));
    SYS(sigpending(&set));
    CHECK_EQ(sigismember(&set, SIGUSR1), 0);
    CHECK_EQ(sigismember(&set, SIGUSR2), 1);
    pthread_barrier_wait(&meet);
    finish(thread);
    return 0;
}
