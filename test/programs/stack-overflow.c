/*
 * Running off the end of a thread's stack kills the process with SIGSEGV instead of writing into
 * a neighbour's stack (pthread_attr_setguardsize(3)).
 */
#include "check.h"

#include "overflow.h"

#include <semaphore.h>
#include <signal.h>

static sem_t never;

static void *overflows(void *argument)
{
    overflow_stack();
    return argument;
}

static void *neighbour(void *argument)
{
    sem_wait(&never);
    return argument;
}

int main(void)
{
    size_t sizes[] = { 64 << 10, 256 << 10, 8 << 20 };

    watchdog();
    for (int i = 0; i < 3; i++) {
        pid_t child = SYS(fork());

        if (child == 0) {
            pthread_attr_t attr;
            pthread_t thread;

            watchdog();
            no_core();
            sem_init(&never, 0, 0);
            OK(pthread_attr_init(&attr));
            OK(pthread_attr_setstacksize(&attr, sizes[i]));
            for (int k = 0; k < 20; k++) {
                OK(pthread_create(&thread, &attr, k == 10 ? overflows : neighbour, NULL));
            }
            nap(10000);
            _exit(0);
        }
        int status = reap(child);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGSEGV);
    }
    return 0;
}
