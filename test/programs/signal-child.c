/* SIGCHLD while threads wait: once for what ends, with its pid and status; SA_NOCLDWAIT leaves no
 * zombies and waitpid then waits for all and answers ECHILD. */
#include "check.h"
#include <signal.h>

static volatile int children, stop;
static volatile int last_status, last_code;

static void handler(int sig, siginfo_t *info, void *context)
{
    int saved = errno, status;
    (void)sig;
    (void)context;
    last_code = info->si_code;
    last_status = info->si_status;
    while (waitpid(-1, &status, WNOHANG) > 0) {
        children++;
    }
    errno = saved;
}

static void *body(void *argument)
{
    while (!stop) {
        nap(1);
    }
    return argument;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    pthread_t threads[4];
    watchdog();
    SYS(sigaction(SIGCHLD, &action, NULL));
    for (int i = 0; i < 4; i++) {
        threads[i] = start(body, NULL);
    }
    for (int i = 1; i <= 10; i++) {
        if (SYS(fork()) == 0) {
            _exit(i);
        }
        while (children < i) {
            nap(1);
        }
        CHECK_EQ(last_code, CLD_EXITED);
        CHECK_EQ(last_status, i);
    }
    for (int i = 0; i < 10; i++) {
        if (SYS(fork()) == 0) {
            _exit(0);
        }
    }
    while (children < 20) {
        nap(1);
    }
    action.sa_handler = SIG_DFL;
    action.sa_flags = SA_NOCLDWAIT;
    SYS(sigaction(SIGCHLD, &action, NULL));
    for (int i = 0; i < 3; i++) {
        if (SYS(fork()) == 0) {
            _exit(0);
        }
    }
    FAILS(waitpid(-1, NULL, 0), ECHILD);
    stop = 1;
    for (int i = 0; i < 4; i++) {
        finish(threads[i]);
    }
    return 0;
}
