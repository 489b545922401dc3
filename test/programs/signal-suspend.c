/* sigsuspend waits and opens the mask in one step: a signal that came before is not lost, the mask is
 * back after it; two threads hand a turn to each other. pause with the signal open. */
#include "check.h"
#include <signal.h>

#define ROUNDS 200

static pthread_t threads[2];
static _Thread_local volatile int got;
static pthread_barrier_t ready;
static volatile int turns;

static void handler(int sig)
{
    (void)sig;
    got++;
}

static void *body(void *argument)
{
    long me = (long)argument;
    sigset_t open, now;
    OK(pthread_sigmask(SIG_SETMASK, NULL, &open));
    CHECK_EQ(sigismember(&open, SIGUSR1), 1);
    sigdelset(&open, SIGUSR1);
    pthread_barrier_wait(&ready);
    for (int i = 0; i < ROUNDS; i++) {
        if (i || me) {
            int before = got;
            CHECK_EQ(sigsuspend(&open), -1);
            CHECK_EQ(errno, EINTR);
            CHECK_EQ(got, before + 1);
            OK(pthread_sigmask(SIG_SETMASK, NULL, &now));
            CHECK_EQ(sigismember(&now, SIGUSR1), 1);
        }
        CHECK_EQ(turns, 2 * i + me);
        turns++;
        if (i < ROUNDS - 1 || !me) {
            OK(pthread_kill(threads[!me], SIGUSR1));
        }
    }
    return NULL;
}

static void *pauses(void *argument)
{
    sigset_t open;
    sigemptyset(&open);
    OK(pthread_sigmask(SIG_SETMASK, &open, NULL));
    *(volatile int *)argument = 1;
    FAILS(pause(), EINTR);
    CHECK(got >= 1);
    *(volatile int *)argument = 2;
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigset_t set;
    volatile int pausing = 0;
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    OK(pthread_barrier_init(&ready, NULL, 3));
    for (long i = 0; i < 2; i++) {
        threads[i] = start(body, (void *)i);
    }
    pthread_barrier_wait(&ready);
    finish(threads[0]);
    finish(threads[1]);
    CHECK_EQ(turns, 2 * ROUNDS);
    pthread_t thread = start(pauses, (void *)&pausing);
    while (!pausing) {
        nap(1);
    }
    while (pausing < 2) { /* the first may come before the wait */
        nap(10);
        OK(pthread_kill(thread, SIGUSR1));
    }
    finish(thread);
    return 0;
}
