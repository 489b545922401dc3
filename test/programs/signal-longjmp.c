/*
 * Handlers that leave by siglongjmp out of blocking calls and of busy loops, in several threads
 * at once, with the mask restored (POSIX sigsetjmp).
 */
#include "check.h"

#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

enum { THREADS = 6, JUMPS = 20 };

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t armed;
static int pipes[THREADS][2];
static sem_t never;
static atomic_int finished;

static void handler(int signal)
{
    CHECK_EQ(signal, SIGUSR1);
    if (armed) {
        armed = 0;
        siglongjmp(back, 1);
    }
}

static void *body(void *argument)
{
    int me = *(int *)argument;
    volatile int jumps = 0;
    volatile unsigned long work = 0;
    char byte;

    while (jumps < JUMPS) {
        if (sigsetjmp(back, 1) == 0) {
            armed = 1;
            switch ((me + jumps) % 3) {
            case 0:
                for (;;) {
                    /* A raw read holds no lock of libc's, so that jumping out of it is allowed. */
                    (void)!read(pipes[me][0], &byte, 1);
                }
            case 1:
                for (;;) {
                    sem_wait(&never);
                }
            default:
                for (;;) {
                    work++;
                }
            }
        }
        jumps++;
        sigset_t set;
        OK(pthread_sigmask(SIG_SETMASK, NULL, &set));
        CHECK_EQ(sigismember(&set, SIGUSR1), 0);
    }
    finished++;
    while (finished < THREADS + 1) {
        usleep(100);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    pthread_t threads[THREADS];
    int numbers[THREADS];

    watchdog();
    SYS(sem_init(&never, 0, 0));
    SYS(sigaction(SIGUSR1, &action, NULL));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        SYS(pipe(pipes[i]));
        threads[i] = start(body, &numbers[i]);
    }
    while (finished < THREADS) {
        for (int i = 0; i < THREADS; i++) {
            OK(pthread_kill(threads[i], SIGUSR1));
        }
        nap(2);
    }
    finished++;
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
