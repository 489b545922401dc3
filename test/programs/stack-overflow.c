/*
 * Running off the end of a thread's stack kills the process with SIGSEGV instead of writing into
 * a neighbour's stack (pthread_attr_setguardsize(3)).
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>

static sem_t never;

__attribute__((noinline)) static unsigned long eat(unsigned long depth)
{
    volatile char frame[1024];

    frame[0] = (char)depth;
    if (depth == 0) {
        return 0;
    }
    return eat(depth - 1) + (unsigned long)frame[0];
}

static void *overflows(void *argument)
{
    eat(1UL << 40);
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
