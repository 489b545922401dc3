/* siglongjmp out of handlers restores the mask that sigsetjmp saved, longjmp after setjmp does not; with waits
 * before, in and after the handler, on threads with different masks. */
#include "check.h"

#include "signals.h"

#include <setjmp.h>

#define THREADS 6
#define ROUNDS  60

static _Thread_local sigjmp_buf saved;
static _Thread_local volatile int wait_inside;

static void handler(int sig)
{
    (void)sig;
    if (wait_inside) {
        usleep(100);
    }
    siglongjmp(saved, 1);
}

static void *body(void *argument)
{
    long me = (long)argument;
    sigset_t set, usr1;
    sigemptyset(&set);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1 + (int)me);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (volatile int i = 0; i < ROUNDS; i++) {
        wait_inside = i % 3 == 1;
        int save = i % 2;
        if (sigsetjmp(saved, save) == 0) {
            if (i % 4 == 0) {
                usleep(50);
            }
            raise(SIGUSR1);
            CHECK(!"here");
        }
        if (i % 5 == 0) {
            usleep(50);
        }
        CHECK_EQ(blocked(SIGUSR1), !save);
        for (int other = 0; other < THREADS; other++) {
            CHECK_EQ(blocked(SIGRTMIN + 1 + other), other == me);
        }
        OK(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
        if (i % 7 == 0) {
            sched_yield();
        }
        CHECK_EQ(blocked(SIGUSR1), 0);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    run_threads(THREADS, body);
    return 0;
}
