/*
 * A signal for the process goes to any thread that does not block it, also if that thread waits and all
 * others block it; and to none, not even its default action, while all block it (POSIX 2.4.1). Sent by
 * another process and by this one; blocked by the last thread just before, and by the end of the one
 * that took it.
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static pthread_t taker;
static atomic_int handled;
static sem_t ready, go, never;

static void handler(int signal)
{
    CHECK_EQ(signal, SIGUSR1);
    CHECK(pthread_equal(pthread_self(), taker));
    atomic_fetch_add(&handled, 1);
}

static void set_mask(int how, int signal)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signal);
    OK(pthread_sigmask(how, &set, NULL));
}

static void *takes(void *argument)
{
    set_mask(SIG_UNBLOCK, SIGUSR1);
    set_mask(SIG_UNBLOCK, SIGTERM);
    SYS(sem_post(&ready));
    while (sem_wait(&go) < 0) {
        CHECK_EQ(errno, EINTR);
    }
    return argument;
}

static void *blocks(void *argument)
{
    SYS(sem_post(&ready));
    CHECK(sem_wait(&never) < 0);
    return argument;
}

static void wait_until_handled(int n)
{
    for (int i = 0; i < 10000 && atomic_load(&handled) < n; i++) {
        nap(1);
    }
    CHECK_EQ(handled, n);
}

/* From another process. */
static void send(int signal)
{
    pid_t parent = getpid(), child = SYS(fork());

    if (child == 0) {
        _exit(kill(parent, signal) != 0);
    }
    CHECK_EQ(reap(child), 0);
}

/* It is pending, and did not end us. */
static void take(int signal)
{
    struct timespec second = { 5, 0 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK_EQ(sigtimedwait(&set, NULL, &second), signal);
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };

    watchdog();
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));
    SYS(sem_init(&never, 0, 0));
    SYS(sigaction(SIGUSR1, &action, NULL));
    set_mask(SIG_BLOCK, SIGUSR1);
    set_mask(SIG_BLOCK, SIGTERM);
    for (int i = 0; i < 4; i++) {
        pthread_t thread = start(blocks, NULL);

        OK(pthread_detach(thread));
        SYS(sem_wait(&ready));
    }
    taker = start(takes, NULL);
    SYS(sem_wait(&ready));
    for (int i = 1; i <= 20; i++) {
        send(SIGUSR1);
        wait_until_handled(2 * i - 1);
        SYS(kill(getpid(), SIGUSR1));
        wait_until_handled(2 * i);
    }

    SYS(sem_post(&go));
    finish(taker);
    for (int i = 0; i < 20; i++) {
        nap(1); /* kernel threads go to sleep */
        SYS(syscall(SYS_kill, getpid(), SIGTERM));
        take(SIGTERM);
        send(SIGTERM);
        take(SIGTERM);
        set_mask(SIG_UNBLOCK, SIGTERM);
        nap(1);
        set_mask(SIG_BLOCK, SIGTERM);
    }
    return 0;
}
