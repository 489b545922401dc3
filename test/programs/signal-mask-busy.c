/*
 * A signal for the process reaches the one thread that takes it, which waits with a mask that lets it
 * through, while the others compute and block it.
 */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>

static atomic_int go_on = 1, handled;

static void handler(int sig)
{
    (void)sig;
    atomic_fetch_add(&handled, 1);
}

static void *computes(void *argument)
{
    while (atomic_load_explicit(&go_on, memory_order_relaxed)) {
    }
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    long n = sysconf(_SC_NPROCESSORS_ONLN) + 1;
    pthread_t threads[n];
    sigset_t set, open;
    pid_t parent = getpid(), child;

    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&open);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (long i = 0; i < n; i++) {
        threads[i] = start(computes, NULL);
    }
    for (int i = 1; i <= 3; i++) {
        child = SYS(fork());
        if (child == 0) {
            nap(50);
            _exit(kill(parent, SIGUSR1) != 0);
        }
        CHECK_EQ(i == 2 ? sigsuspend(&open) : ppoll(NULL, 0, NULL, &open), -1);
        CHECK_EQ(errno, EINTR);
        CHECK_EQ(handled, i);
        CHECK_EQ(reap(child), 0);
    }
    atomic_store(&go_on, 0);
    for (long i = 0; i < n; i++) {
        finish(threads[i]);
    }
    return 0;
}
