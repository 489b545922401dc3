/*
 * Signal masks and pending signals belong to the thread: inherited at creation, unchanged by
 * blocking calls, and a blocked signal waits for its thread alone (POSIX pthread_sigmask).
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <signal.h>

enum { THREADS = 20 };

static __thread volatile int handled;
static sem_t ready, go;

static void handler(int signal)
{
    (void)signal;
    handled++;
}

static void expect(int number, int blocked)
{
    sigset_t set;

    OK(pthread_sigmask(SIG_SETMASK, NULL, &set));
    CHECK_EQ(sigismember(&set, number), blocked);
}

static void *body(void *argument)
{
    int me = *(int *)argument;
    sigset_t set;

    expect(SIGUSR2, 1);
    expect(SIGUSR1, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (me % 2) {
        OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    }
    sem_post(&ready);
    sem_wait(&go);
    sched_yield();
    usleep(10);
    expect(SIGUSR1, me % 2);
    expect(SIGUSR2, 1);
    if (me % 2) {
        CHECK_EQ(handled, 0);
        SYS(sigpending(&set));
        CHECK(sigismember(&set, SIGUSR1));
        CHECK(!sigismember(&set, SIGUSR2));
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    }
    /* Delivered before pthread_sigmask, or any call after the kill, returned. */
    CHECK_EQ(handled, 1);
    SYS(sigpending(&set));
    CHECK(!sigismember(&set, SIGUSR1));
    sem_post(&ready);
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    pthread_t threads[THREADS];
    int numbers[THREADS];
    sigset_t set;

    watchdog();
    SYS(sigaction(SIGUSR1, &action, NULL));
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK_EQ(pthread_sigmask(99, &set, NULL), EINVAL);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        while (sem_wait(&ready) < 0) {
        }
    }
    for (int i = 0; i < THREADS; i++) {
        OK(pthread_kill(threads[i], 0));
        OK(pthread_kill(threads[i], SIGUSR1));
        CHECK_EQ(pthread_kill(threads[i], 9999), EINVAL);
    }
    for (int i = 0; i < THREADS; i++) {
        sem_post(&go);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(handled, 0);
    return 0;
}
