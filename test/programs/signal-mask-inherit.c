/* A new thread has its creator's mask and nothing pending; so has a child of fork; a program that is
 * executed keeps mask and pending signals. */
#include "check.h"
#include <signal.h>

static void *inherits(void *argument)
{
    sigset_t now, pending;
    OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR1), argument == NULL);
    CHECK_EQ(sigismember(&now, SIGUSR2), 1);
    CHECK_EQ(sigismember(&now, SIGTERM), 0);
    SYS(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR2), 0);
    return NULL;
}

static void *creates(void *argument)
{
    sigset_t set, pending;
    OK(pthread_kill(pthread_self(), SIGUSR2)); /* blocked */
    SYS(sigpending(&pending));
    CHECK_EQ(sigismember(&pending, SIGUSR2), 1);
    finish(start(inherits, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    finish(start(inherits, argument));
    pid_t child = SYS(fork());
    if (child == 0) {
        inherits(argument);
        sigaddset(&set, SIGUSR2);
        OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL)); /* nothing comes */
        _exit(7);
    }
    int status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    child = SYS(fork());
    if (child == 0) {
        raise(SIGUSR2);
        execl("/proc/self/exe", "again", "pending", (char *)NULL);
        _exit(1);
    }
    status = reap(child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 8);
    return NULL;
}

static void *sees(void *argument)
{
    sigset_t set;
    OK(pthread_sigmask(SIG_SETMASK, NULL, &set));
    CHECK_EQ(sigismember(&set, SIGUSR2), 1);
    CHECK_EQ(sigismember(&set, SIGUSR1), 0);
    return argument;
}

int main(int argc, char **argv)
{
    sigset_t set;
    (void)argv;
    watchdog();
    if (argc > 1) {
        SYS(sigpending(&set));
        CHECK_EQ(sigismember(&set, SIGUSR2), 1);
        finish(start(sees, NULL));
        return 8;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    finish(start(creates, &set));
    return 0;
}
