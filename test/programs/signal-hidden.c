/* The two signals below SIGRTMIN belong to the thread library: no mask, action, set or wait of the
 * program's has them, and nothing comes of them. */
#include "check.h"
#include <signal.h>

static void *body(void *argument)
{
    sigset_t all, now;
    struct sigaction action = { .sa_handler = SIG_IGN };
    struct timespec brief = { 0, 30000000 };
    sigfillset(&all);
    for (int sig = 32; sig < SIGRTMIN; sig++) {
        CHECK_EQ(sigismember(&all, sig), 0);
        FAILS(sigaction(sig, &action, NULL), EINVAL);
        FAILS(sigaction(sig, NULL, &action), EINVAL);
        CHECK(signal(sig, SIG_IGN) == SIG_ERR);
        CHECK_EQ(pthread_kill(pthread_self(), sig), EINVAL);
        FAILS(sigaddset(&all, sig), EINVAL);
    }
    memset(&all, 0xff, sizeof all);
    OK(pthread_sigmask(SIG_SETMASK, &all, NULL));
    usleep(1000);
    OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
    for (int sig = 1; sig < 65; sig++) {
        int never = sig == SIGKILL || sig == SIGSTOP || (sig > 31 && sig < SIGRTMIN);
        unsigned long word = ((unsigned long *)&now)[0];
        CHECK_EQ(word >> (sig - 1) & 1, !never);
    }
    siginfo_t info;
    FAILS(sigtimedwait(&all, &info, &brief), EAGAIN);
    SYS(sigpending(&now));
    CHECK_EQ(((unsigned long *)&now)[0] >> 31 & 3, 0);
    return argument;
}

static volatile int stop;

static void *busy(void *argument)
{
    while (!stop) {
    }
    return argument;
}

int main(void)
{
    pthread_t loops[4], threads[4];
    watchdog();
    for (int i = 0; i < 4; i++) {
        loops[i] = start(busy, NULL);
        threads[i] = start(body, NULL);
    }
    for (int i = 0; i < 4; i++) {
        finish(threads[i]);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) {
        finish(loops[i]);
    }
    return 0;
}
