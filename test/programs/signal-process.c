/*
 * Signals to the process: a handler runs once, in a thread that does not block the signal,
 * although all threads wait; an interval timer keeps coming; a default action kills everything
 * (POSIX 2.4.1 signal generation and delivery).
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/time.h>

enum { THREADS = 20, SIGNALS = 50 };

static sem_t caught, never;
static __thread int blocks_it;

static void handler(int signal)
{
    int saved = errno;

    CHECK(signal == SIGUSR1 || signal == SIGVTALRM || signal == SIGPROF);
    CHECK_EQ(blocks_it, 0);
    /* The only function of its kind that a handler may call. */
    sem_post(&caught);
    errno = saved;
}

static void *waits(void *argument)
{
    sigset_t set;

    if (argument) {
        blocks_it = 1;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    }
    for (;;) {
        sem_wait(&never);
    }
    return NULL;
}

static void wait_caught(void)
{
    while (sem_wait(&caught) < 0) {
        CHECK_EQ(errno, EINTR);
    }
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, off = { { 0, 0 }, { 0, 0 } };
    int value;

    watchdog();
    SYS(sem_init(&caught, 0, 0));
    SYS(sem_init(&never, 0, 0));
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sigaction(SIGVTALRM, &action, NULL));
    SYS(sigaction(SIGPROF, &action, NULL));
    pid_t child = SYS(fork());
    if (child == 0) {
        watchdog();
        for (int i = 0; i < THREADS; i++) {
            start(waits, NULL);
        }
        waits(NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        OK(pthread_detach(start(waits, i % 2 ? &caught : NULL)));
    }
    for (int i = 0; i < SIGNALS; i++) {
        SYS(kill(getpid(), SIGUSR1));
        wait_caught();
    }
    SYS(sem_getvalue(&caught, &value));
    CHECK_EQ(value, 0);

    /* A timer that counts the process's CPU time, which somebody has to spend. */
    SYS(setitimer(ITIMER_PROF, &every, NULL));
    for (int left = 5; left > 0;) {
        left -= sem_trywait(&caught) == 0;
    }
    SYS(setitimer(ITIMER_PROF, &off, NULL));

    nap(20);
    SYS(kill(child, SIGTERM));
    int status = reap(child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
    return 0;
}
