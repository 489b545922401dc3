/* sigpause waits for a signal in each of its forms, in a thread, and puts the mask back. */
#include "check.h"

#include <signal.h>

/* The two symbols; the header has a macro for the name. */
int bsd_sigpause(int mask) __asm__("sigpause");
int xpg_sigpause(int sig) __asm__("__xpg_sigpause");

static _Atomic int state;

static void on_signal(int sig)
{
    (void)sig;
}

static void *waiter(void *argument)
{
    sigset_t usr1, now;

    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &usr1, NULL));
    state = 1;
    FAILS(argument ? bsd_sigpause(0) : xpg_sigpause(SIGUSR1), EINTR);
    OK(pthread_sigmask(SIG_BLOCK, NULL, &now));
    CHECK(sigismember(&now, SIGUSR1));
    state = 2;
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    watchdog();
    sigaction(SIGUSR1, &action, NULL);
    FAILS(xpg_sigpause(0), EINVAL);
    for (long form = 0; form < 2; form++) {
        state = 0;
        pthread_t thread = start(waiter, (void *)form);
        while (state < 1)
            nap(1);
        nap(10);
        CHECK_EQ(state, 1);
        OK(pthread_kill(thread, SIGUSR1));
        finish(thread);
        CHECK_EQ(state, 2);
    }
    return 0;
}
