/* SA_RESETHAND: the action is the default before the handler runs; the second signal ends the process,
 * also when the first found its thread in a wait. */
#include "check.h"
#include <signal.h>

static volatile int runs;
static int pipes[2];

static void handler(int sig)
{
    struct sigaction now;
    SYS(sigaction(sig, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
    runs++;
}

static void *body(void *argument)
{
    char c;
    FAILS(read(pipes[0], &c, 1), EINTR);
    CHECK_EQ(runs, 1);
    (void)!read(pipes[0], &c, 1);
    return argument;
}

int main(void)
{
    watchdog();
    for (int parked = 0; parked < 2; parked++) {
        pid_t child = SYS(fork());
        if (child == 0) {
            struct sigaction action = { .sa_handler = handler, .sa_flags = (int)SA_RESETHAND }, now;
            no_core();
            watchdog();
            SYS(pipe(pipes));
            SYS(sigaction(SIGUSR1, &action, NULL));
            pthread_t thread = start(body, NULL);
            nap(20);
            if (parked) {
                OK(pthread_kill(thread, SIGUSR1));
            } else {
                OK(pthread_kill(thread, 0));
                raise(SIGUSR1);
                CHECK_EQ(runs, 1);
            }
            while (!runs) {
                nap(1);
            }
            SYS(sigaction(SIGUSR1, NULL, &now));
            CHECK(now.sa_handler == SIG_DFL);
            nap(5);
            OK(pthread_kill(thread, SIGUSR1));
            nap(10000);
            _exit(3);
        }
        int status = reap(child);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGUSR1);
    }
    return 0;
}
