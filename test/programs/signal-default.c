/* Default actions end the whole process with the signal as its status, whichever thread they are for and
 * whatever it does; blocked ones wait; ignored ones do nothing, not even to a wait. */
#include "check.h"
#include <signal.h>

static int pipes[2];
static volatile int ready;

static void *waits(void *argument)
{
    char c;
    ready++;
    (void)!read(pipes[0], &c, 1);
    return argument;
}

static void *computes(void *argument)
{
    ready++;
    for (;;) {
    }
    return argument;
}

static void *faults(void *argument)
{
    ready++;
    nap(10);
    *(volatile int *)argument = 1;
    return NULL;
}

static void *aborts(void *argument)
{
    ready++;
    nap(10);
    abort();
    return argument;
}

static void *unblocks(void *argument)
{
    sigset_t set;
    sigfillset(&set);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    ready++;
    nap(60);
    OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    nap(10000);
    return argument;
}

static int dies(int way)
{
    pid_t child = SYS(fork());
    if (child == 0) {
        static void *(*const body[])(void *) = { waits, computes, faults, aborts, unblocks, waits };
        no_core();
        watchdog();
        SYS(pipe(pipes));
        pthread_t thread = start(body[way], NULL);
        while (!ready) {
            nap(1);
        }
        nap(20);
        if (way == 5) {
            SYS(kill(getpid(), SIGTERM));
        } else if (way != 2 && way != 3) {
            OK(pthread_kill(thread, SIGTERM));
        }
        nap(20000);
        _exit(1);
    }
    int status = reap(child);
    CHECK(WIFSIGNALED(status));
    return WTERMSIG(status);
}

static void *undisturbed(void *argument)
{
    char c = 0;
    ready = 1;
    CHECK_EQ(read(pipes[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    return argument;
}

int main(void)
{
    watchdog();
    CHECK_EQ(dies(0), SIGTERM);
    CHECK_EQ(dies(1), SIGTERM);
    CHECK_EQ(dies(2), SIGSEGV);
    CHECK_EQ(dies(3), SIGABRT);
    CHECK_EQ(dies(4), SIGTERM);
    CHECK_EQ(dies(5), SIGTERM);
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    SYS(pipe(pipes));
    pthread_t thread = start(undisturbed, NULL);
    while (!ready) {
        nap(1);
    }
    nap(10);
    for (int i = 0; i < 5; i++) {
        OK(pthread_kill(thread, SIGUSR1));
        OK(pthread_kill(thread, SIGCHLD)); /* ignored by default */
        nap(2);
    }
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    finish(thread);
    return 0;
}
