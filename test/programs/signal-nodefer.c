/* While a handler runs its signal is blocked, and sa_mask; with SA_NODEFER it is not. The mask from
 * before is back after it. */
#include "check.h"
#include <signal.h>

static volatile int depth, deepest, runs;

static void handler(int sig)
{
    sigset_t now;
    depth++;
    runs++;
    if (depth > deepest) {
        deepest = depth;
    }
    OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
    CHECK_EQ(sigismember(&now, SIGUSR2), 1);
    if (runs < 4) {
        raise(sig);
        nap(1); /* elsewhere, perhaps */
    }
    depth--;
}

static void *body(void *argument)
{
    struct sigaction action = { .sa_handler = handler };
    sigset_t now;
    sigaddset(&action.sa_mask, SIGUSR2);
    for (int round = 0; round < 40; round++) {
        int nodefer = round % 2;
        action.sa_flags = nodefer ? SA_NODEFER : 0;
        SYS(sigaction(SIGUSR1, &action, NULL));
        runs = deepest = depth = 0;
        raise(SIGUSR1);
        CHECK_EQ(runs, 4);
        CHECK_EQ(depth, 0);
        CHECK_EQ(deepest, nodefer ? 4 : 1);
        OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
        CHECK_EQ(sigismember(&now, SIGUSR1), 0);
        CHECK_EQ(sigismember(&now, SIGUSR2), 0);
    }
    return argument;
}

int main(void)
{
    watchdog();
    finish(start(body, NULL));
    body(NULL);
    return 0;
}
