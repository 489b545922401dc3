/* What SA_SIGINFO tells: who sent it, how, and the value; for each way of sending. */
#include "check.h"
#include <signal.h>
#include <sys/syscall.h>

static volatile int sig_seen, code_seen, value_seen;
static volatile pid_t pid_seen;
static volatile uid_t uid_seen;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int handled;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    sig_seen = sig == info->si_signo ? sig : -1;
    code_seen = info->si_code;
    pid_seen = info->si_pid;
    uid_seen = info->si_uid;
    value_seen = info->si_value.sival_int;
    handled++;
}

static void check(int sig, int code, int value)
{
    for (int i = 0; i < 20000 && !handled; i++) {
        usleep(200);
    }
    CHECK_EQ(handled, 1);
    CHECK_EQ(sig_seen, sig);
    CHECK_EQ(code_seen, code);
    CHECK_EQ(pid_seen, getpid());
    CHECK_EQ(uid_seen, getuid());
    if (value) {
        CHECK_EQ(value_seen, value);
    }
    handled = 0;
}

static void *waits(void *argument)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGRTMIN, &action, NULL));
    pthread_mutex_lock(&lock);
    pthread_t thread = start(waits, NULL);
    nap(5);
    SYS(kill(getpid(), SIGUSR1));
    check(SIGUSR1, SI_USER, 0);
    SYS(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 41 }));
    check(SIGUSR1, SI_QUEUE, 41);
    SYS(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 42 }));
    check(SIGRTMIN, SI_QUEUE, 42);
    SYS(raise(SIGUSR1));
    check(SIGUSR1, SI_TKILL, 0);
    OK(pthread_kill(thread, SIGUSR1));
    check(SIGUSR1, SI_TKILL, 0);
    OK(pthread_kill(thread, SIGRTMIN));
    check(SIGRTMIN, SI_TKILL, 0);
    OK(pthread_sigqueue(thread, SIGRTMIN, (union sigval){ .sival_int = 43 }));
    check(SIGRTMIN, SI_QUEUE, 43);
    OK(pthread_sigqueue(pthread_self(), SIGUSR1, (union sigval){ .sival_int = 44 }));
    check(SIGUSR1, SI_QUEUE, 44);
    SYS(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    check(SIGUSR1, SI_TKILL, 0);
    pid_t child = SYS(fork());
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        pause();
    }
    for (int i = 0; i < 20000 && !handled; i++) {
        usleep(200);
    }
    CHECK_EQ(pid_seen, child);
    CHECK_EQ(code_seen, SI_USER);
    SYS(kill(child, SIGKILL));
    CHECK(WIFSIGNALED(reap(child)));
    pthread_mutex_unlock(&lock);
    finish(thread);
    return 0;
}
