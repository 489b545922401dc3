/* Pending signals of a thread come out lowest number first, and in the order of arrival within one
 * number; a standard signal that is sent twice is pending once (POSIX 2.4.1, 2.4.2). */
#include "check.h"
#include <signal.h>

static sigset_t all;
static int seen[64], values[64], n;
static pthread_barrier_t sent;

static void handler(int sig, siginfo_t *info, void *context)
{
    (void)context;
    values[n] = info->si_value.sival_int;
    seen[n++] = sig;
}

static void check_order(void)
{
    static const int expected[] = { 0, 0, 1, 2, 3, 1, 2 };
    CHECK_EQ(n, 7);
    CHECK_EQ(seen[0], SIGUSR1);
    CHECK_EQ(seen[1], SIGUSR2);
    for (int i = 2; i < 5; i++) {
        CHECK_EQ(seen[i], SIGRTMIN + 1);
    }
    CHECK_EQ(seen[5], SIGRTMIN + 3);
    CHECK_EQ(seen[6], SIGRTMIN + 3);
    for (int i = 2; i < 7; i++) {
        CHECK_EQ(values[i], expected[i]);
    }
}

static void *body(void *argument)
{
    sigset_t none;
    n = 0;
    pthread_barrier_wait(&sent); /* in a wait while they are sent */
    pthread_barrier_wait(&sent);
    if (argument) { /* by handlers that nothing interrupts */
        sigemptyset(&none);
        OK(pthread_sigmask(SIG_SETMASK, &none, NULL));
    } else {
        struct timespec now = { 0, 0 };
        siginfo_t info;
        while (sigtimedwait(&all, &info, &now) > 0) {
            handler(info.si_signo, &info, NULL);
        }
        CHECK_EQ(errno, EAGAIN);
    }
    check_order();
    return NULL;
}

static void queue(pthread_t thread, int sig, int value)
{
    OK(pthread_sigqueue(thread, sig, (union sigval){ .sival_int = value }));
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
    watchdog();
    sigfillset(&action.sa_mask);
    sigemptyset(&all);
    const int used[] = { SIGUSR1, SIGUSR2, SIGRTMIN + 1, SIGRTMIN + 3 };
    for (int i = 0; i < 4; i++) {
        sigaddset(&all, used[i]);
        SYS(sigaction(used[i], &action, NULL));
    }
    OK(pthread_sigmask(SIG_BLOCK, &all, NULL));
    OK(pthread_barrier_init(&sent, NULL, 2));
    for (long way = 0; way < 2; way++) {
        pthread_t thread = start(body, (void *)way);
        pthread_barrier_wait(&sent);
        queue(thread, SIGRTMIN + 3, 1);
        queue(thread, SIGRTMIN + 1, 1);
        OK(pthread_kill(thread, SIGUSR2));
        queue(thread, SIGRTMIN + 1, 2);
        queue(thread, SIGRTMIN + 3, 2);
        OK(pthread_kill(thread, SIGUSR1));
        OK(pthread_kill(thread, SIGUSR2));
        queue(thread, SIGRTMIN + 1, 3);
        pthread_barrier_wait(&sent);
        finish(thread);
    }
    return 0;
}
