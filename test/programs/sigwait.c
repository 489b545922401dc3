/*
 * The signal thread: everybody blocks the signals, one thread takes them with sigwait,
 * sigwaitinfo and sigtimedwait, process-directed ones and queued ones with their values
 * (POSIX sigwait, sigqueue).
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>

static sigset_t set;
static sem_t taken, never;

static void *blocked(void *argument)
{
    sem_wait(&never);
    return argument;
}

static void *waits(void *argument)
{
    struct timespec t = { 0, 20000000 }, end = from_now(CLOCK_MONOTONIC, 20);
    siginfo_t info;
    int number;

    FAILS(sigtimedwait(&set, &info, &t), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, end));
    sem_post(&taken);
    OK(sigwait(&set, &number));
    CHECK_EQ(number, SIGUSR1);
    sem_post(&taken);
    CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGUSR2);
    CHECK_EQ(info.si_pid, getpid());
    sem_post(&taken);
    /* Real-time signals queue, in order, with their values. */
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 1);
        CHECK_EQ(info.si_code, SI_QUEUE);
        CHECK_EQ(info.si_value.sival_int, 100 + i);
    }
    sem_post(&taken);
    t.tv_sec = 50;
    CHECK_EQ(SYS(sigtimedwait(&set, &info, &t)), SIGUSR1);
    return argument;
}

int main(void)
{
    watchdog();
    SYS(sem_init(&taken, 0, 0));
    SYS(sem_init(&never, 0, 0));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 10; i++) {
        OK(pthread_detach(start(blocked, NULL)));
    }
    pthread_t thread = start(waits, NULL);
    SYS(sem_wait(&taken));
    SYS(kill(getpid(), SIGUSR1));
    SYS(sem_wait(&taken));
    SYS(kill(getpid(), SIGUSR2));
    SYS(sem_wait(&taken));
    for (int i = 0; i < 5; i++) {
        SYS(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 100 + i }));
    }
    SYS(sem_wait(&taken));
    OK(pthread_kill(thread, SIGUSR1));
    finish(thread);
    return 0;
}
