/* What is pending does not always stay pending: ignoring a signal discards it, for threads as well as for the
 * process; SIGCONT discards stop signals and these discard SIGCONT; a blocked signal that is ignored in the end does
 * nothing when it is unblocked, and the next one that is caught again comes, once. */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int caught, last;

static void handler(int sig)
{
    caught++;
    last = sig;
}

static int is_pending(int sig)
{
    sigset_t set;
    SYS(sigpending(&set));
    return sigismember(&set, sig);
}

static void change(int how, int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    OK(pthread_sigmask(how, &set, NULL));
}

/* To the calling thread, by a note or through the kernel; or to the process. */
static void send(int sig, int way)
{
    switch (way) {
    case 0:
        OK(pthread_kill(pthread_self(), sig));
        break;
    case 1:
        SYS(raise(sig));
        break;
    case 2:
        OK(pthread_sigqueue(pthread_self(), sig, (union sigval){ .sival_int = 3 }));
        break;
    default:
        SYS(kill(getpid(), sig));
        break;
    }
}

static void ignoring(int sig, int way)
{
    struct sigaction catch = { .sa_handler = handler, .sa_flags = SA_RESTART };
    SYS(sigaction(sig, &catch, NULL));
    caught = 0;
    change(SIG_BLOCK, sig);
    send(sig, way);
    if (sig >= SIGRTMIN)
        send(sig, way); /* two in the queue */
    CHECK(is_pending(sig));
    CHECK(signal(sig, SIG_IGN) != SIG_ERR);
    CHECK(!is_pending(sig));
    SYS(sigaction(sig, &catch, NULL));
    change(SIG_UNBLOCK, sig);
    CHECK_EQ(caught, 0);
    send(sig, way);
    while (!caught)
        nap(1);
    CHECK_EQ(caught, 1);
    CHECK_EQ(last, sig);
    signal(sig, SIG_DFL);
}

/* first is pending, second discards it. */
static void discards(int first, int second, int way)
{
    struct sigaction catch = { .sa_handler = handler, .sa_flags = SA_RESTART };
    SYS(sigaction(SIGCONT, &catch, NULL));
    SYS(sigaction(SIGTSTP, &catch, NULL));
    SYS(sigaction(SIGTTIN, &catch, NULL));
    caught = 0;
    change(SIG_BLOCK, first);
    change(SIG_BLOCK, second);
    send(first, way);
    CHECK(is_pending(first));
    send(second, way);
    CHECK(!is_pending(first));
    CHECK(is_pending(second));
    change(SIG_UNBLOCK, first);
    CHECK_EQ(caught, 0);
    change(SIG_UNBLOCK, second);
    while (!caught)
        nap(1);
    CHECK_EQ(last, second);
    CHECK_EQ(caught, 1);
}

/* By default nothing happens with it, so setting the default discards it too. */
static void ignored_by_default(int way)
{
    struct sigaction catch = { .sa_handler = handler };
    SYS(sigaction(SIGURG, &catch, NULL));
    caught = 0;
    change(SIG_BLOCK, SIGURG);
    send(SIGURG, way);
    CHECK(is_pending(SIGURG));
    CHECK(signal(SIGURG, SIG_DFL) != SIG_ERR);
    CHECK(!is_pending(SIGURG));
    SYS(sigaction(SIGURG, &catch, NULL));
    change(SIG_UNBLOCK, SIGURG);
    CHECK_EQ(caught, 0);
}

/* Of another thread, which waits meanwhile. */
static int gate[2];
static atomic_int blocked;

static void *other(void *arg)
{
    char c;
    change(SIG_BLOCK, SIGUSR1);
    change(SIG_BLOCK, SIGRTMIN);
    blocked = 1;
    CHECK_EQ(SYS(read(gate[0], &c, 1)), 1);
    CHECK(!is_pending(SIGUSR1));
    CHECK(!is_pending(SIGRTMIN));
    change(SIG_UNBLOCK, SIGUSR1);
    change(SIG_UNBLOCK, SIGRTMIN);
    return arg;
}

static void of_others(void)
{
    struct sigaction catch = { .sa_handler = handler };
    SYS(sigaction(SIGUSR1, &catch, NULL));
    SYS(sigaction(SIGRTMIN, &catch, NULL));
    SYS(pipe(gate));
    caught = 0;
    pthread_t thread = start(other, NULL);
    while (!blocked)
        nap(1);
    OK(pthread_kill(thread, SIGUSR1));
    OK(pthread_kill(thread, SIGRTMIN));
    signal(SIGUSR1, SIG_IGN);
    signal(SIGRTMIN, SIG_IGN);
    SYS(sigaction(SIGUSR1, &catch, NULL));
    SYS(sigaction(SIGRTMIN, &catch, NULL));
    SYS(write(gate[1], "x", 1));
    finish(thread);
    CHECK_EQ(caught, 0);
}

static void *all(void *arg)
{
    for (int way = 0; way < 4; way++) {
        ignoring(SIGUSR1, way);
        ignoring(SIGTERM, way);
        ignoring(SIGRTMIN + 1, way);
        discards(SIGTSTP, SIGCONT, way);
        discards(SIGTTIN, SIGCONT, way);
        discards(SIGCONT, SIGTSTP, way);
        ignored_by_default(way);
    }
    return arg;
}

static void *sleeper(void *arg)
{
    sigset_t set;
    sigfillset(&set);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (;;)
        pause();
    return arg;
}

static void *blocks_and_tests(void *arg)
{
    of_others();
    return arg;
}

int main(void)
{
    sigset_t set;
    watchdog();
    all(NULL);
    sigfillset(&set);
    sigdelset(&set, SIGALRM);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL)); /* who does not test takes nothing */
    pthread_t sleeping = start(sleeper, NULL);
    (void)sleeping;
    finish(start(all, NULL));
    finish(start(blocks_and_tests, NULL));
    puts("what was to be discarded was");
    return 0;
}
