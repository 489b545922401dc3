/* Every thread blocks, some wait with sigwait, others compute: a signal for the process ends exactly one
 * sigwait, one for a thread the wait of that thread. */
#include "check.h"
#include <signal.h>

#define WAITERS 4

static volatile int stop;
static _Atomic int woken, own;

static void *computes(void *argument)
{
    while (!stop) {
    }
    return argument;
}

static void *waits(void *argument)
{
    sigset_t set;
    int sig;
    (void)argument;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    OK(sigwait(&set, &sig));
    if (sig == SIGTERM) {
        woken++;
    } else {
        own++;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[WAITERS], busy[3];
    sigset_t set;
    watchdog();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 3; i++) {
        busy[i] = start(computes, NULL);
    }
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = start(waits, NULL);
    }
    nap(30);
    OK(pthread_kill(threads[1], SIGUSR1));
    finish(threads[1]);
    CHECK_EQ(own, 1);
    for (int i = 1; i < WAITERS; i++) {
        SYS(kill(getpid(), SIGTERM));
        while (woken < i) {
            nap(1);
        }
        nap(10);
        CHECK_EQ(woken, i);
    }
    stop = 1;
    for (int i = 0; i < WAITERS; i++) {
        if (i != 1) {
            finish(threads[i]);
        }
    }
    for (int i = 0; i < 3; i++) {
        finish(busy[i]);
    }
    return 0;
}
