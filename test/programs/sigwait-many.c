/*
 * Many threads in sigwait and its kin: each signal for the process wakes one of them, and a thread's own signal
 * that one; what is queued comes in order, with its values and who sent it, from another process too. Timeouts,
 * handlers, cancellation and a fork leave the others waiting; and what came before the call is there at once.
 */
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

enum { THREADS = 40, SIGNALS = 400 };

static sem_t taken;
static sigset_t wanted, other;
static _Atomic int values[SIGNALS], count;
static __thread volatile sig_atomic_t handled;

static void on_signal(int sig)
{
    (void)sig;
    handled++;
}

static void *takes(void *argument)
{
    siginfo_t info;

    for (;;) {
        /* Natively the one who is woken may find that another was faster. */
        while (sigwaitinfo(&wanted, &info) < 0)
            CHECK_EQ(errno, EINTR);
        CHECK_EQ(info.si_signo, SIGRTMIN);
        CHECK_EQ(info.si_code, SI_QUEUE);
        if (info.si_value.sival_int < 0)
            return argument;
        CHECK_EQ(info.si_pid, *(pid_t *)argument);
        values[info.si_value.sival_int]++;
        count++;
        sem_post(&taken);
    }
}

static void queue(pid_t pid, int sig, int value)
{
    union sigval v = { .sival_int = value };

    while (sigqueue(pid, sig, v) < 0) {
        CHECK_EQ(errno, EAGAIN);
        nap(1);
    }
}

static void each_to_one(void)
{
    pthread_t threads[THREADS];
    pid_t me = getpid(), sender = 0;
    int gate[2];
    char byte;

    SYS(pipe(gate));
    sender = SYS(fork());
    if (sender == 0) {
        read_all(gate[0], &byte, 1);
        for (int i = 0; i < SIGNALS; i++)
            queue(me, SIGRTMIN, i);
        _exit(0);
    }
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(takes, &sender);
    write_all(gate[1], "g", 1);
    for (int i = 0; i < SIGNALS; i++)
        while (sem_wait(&taken))
            CHECK_EQ(errno, EINTR);
    reap(sender);
    CHECK_EQ(count, SIGNALS);
    for (int i = 0; i < SIGNALS; i++)
        CHECK_EQ(values[i], 1);
    for (int i = 0; i < THREADS; i++)
        queue(me, SIGRTMIN, -1);
    for (int i = 0; i < THREADS; i++)
        finish(threads[i]);
    close(gate[0]);
    close(gate[1]);
}

/* ---- one waiter, what comes in which order */

static void *takes_in_order(void *argument)
{
    int wish[] = { SIGUSR1, SIGRTMIN, SIGRTMIN, SIGRTMIN, SIGRTMIN + 1 };
    siginfo_t info;

    sem_wait(argument);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(SYS(sigwaitinfo(&wanted, &info)), wish[i]);
        if (wish[i] == SIGRTMIN)
            CHECK_EQ(info.si_value.sival_int, i);
        else if (wish[i] == SIGUSR1)
            CHECK_EQ(info.si_code, SI_USER);
    }
    struct timespec none = { 0, 0 };
    FAILS(sigtimedwait(&wanted, &info, &none), EAGAIN);
    return NULL;
}

static void in_order(void)
{
    sem_t go;

    SYS(sem_init(&go, 0, 0));
    pthread_t thread = start(takes_in_order, &go);
    queue(getpid(), SIGRTMIN + 1, 9);
    for (int i = 1; i < 4; i++)
        queue(getpid(), SIGRTMIN, i);
    SYS(kill(getpid(), SIGUSR1));
    SYS(kill(getpid(), SIGUSR1)); /* once */
    sem_post(&go);
    finish(thread);
}

/* ---- a thread's own signals, while others wait for the same */

struct own {
    pthread_t thread;
    int index;
};

static void *takes_own(void *argument)
{
    struct own *own = argument;
    siginfo_t info;

    for (int i = 0; i < 20; i++) {
        while (sigwaitinfo(&wanted, &info) < 0)
            CHECK_EQ(errno, EINTR);
        CHECK_EQ(info.si_signo, SIGRTMIN + 2);
        CHECK_EQ(info.si_value.sival_int, own->index * 100 + i);
        sem_post(&taken);
    }
    return NULL;
}

static void each_its_own(void)
{
    struct own own[10];

    for (int i = 0; i < 10; i++) {
        own[i].index = i;
        own[i].thread = start(takes_own, &own[i]);
    }
    for (int n = 0; n < 20; n++)
        for (int i = 0; i < 10; i++) {
            union sigval v = { .sival_int = i * 100 + n };

            OK(pthread_sigqueue(own[i].thread, SIGRTMIN + 2, v));
        }
    for (int i = 0; i < 10; i++)
        finish(own[i].thread);
    while (sem_trywait(&taken) == 0)
        ;
}

/* ---- what ends a wait */

static void *times_out(void *argument)
{
    struct timespec t = { 0, 30000000 }, end = from_now(CLOCK_MONOTONIC, 30);

    FAILS(sigtimedwait(&wanted, NULL, &t), EAGAIN);
    CHECK(reached(CLOCK_MONOTONIC, end));
    return argument;
}

static void *is_interrupted(void *argument)
{
    siginfo_t info;

    sem_post(&taken);
    while (!handled)
        FAILS(sigwaitinfo(&wanted, &info), EINTR);
    int sig;
    sem_post(&taken);
    OK(sigwait(&other, &sig)); /* goes on after handlers */
    CHECK_EQ(sig, SIGUSR2);
    CHECK_EQ(handled, 2);
    return argument;
}

static void *waits(void *argument)
{
    siginfo_t info;

    sigwaitinfo(&wanted, &info);
    return argument;
}

static void wait_taken(void)
{
    while (sem_wait(&taken))
        CHECK_EQ(errno, EINTR);
}

static void ends(void)
{
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    pthread_t late[4], waiting[4];

    SYS(sigaction(SIGHUP, &a, NULL));
    for (int i = 0; i < 4; i++) {
        late[i] = start(times_out, NULL);
        waiting[i] = start(waits, NULL);
    }
    pthread_t interrupted = start(is_interrupted, NULL);
    wait_taken();
    nap(5);
    OK(pthread_kill(interrupted, SIGHUP));
    wait_taken();
    nap(5);
    OK(pthread_kill(interrupted, SIGHUP));
    nap(5);
    SYS(kill(getpid(), SIGUSR2));
    finish(interrupted);
    for (int i = 0; i < 4; i++)
        finish(late[i]);
    for (int i = 0; i < 4; i++) {
        void *result;

        OK(pthread_cancel(waiting[i]));
        OK(pthread_join(waiting[i], &result));
        CHECK(result == PTHREAD_CANCELED);
    }
}

/* A child has no waiters, and waits for itself. */
static void in_child(void)
{
    pthread_t waiting = start(waits, NULL);

    nap(5);
    pid_t child = SYS(fork());
    if (child == 0) {
        pthread_t thread = start(waits, NULL);

        nap(5);
        SYS(kill(getpid(), SIGUSR1));
        finish(thread);
        _exit(0);
    }
    reap(child);
    SYS(kill(getpid(), SIGUSR1));
    finish(waiting);
}

int main(void)
{
    watchdog();
    SYS(sem_init(&taken, 0, 0));
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    for (int i = 0; i < 3; i++)
        sigaddset(&wanted, SIGRTMIN + i);
    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    OK(pthread_sigmask(SIG_BLOCK, &wanted, NULL));
    OK(pthread_sigmask(SIG_BLOCK, &other, NULL));
    each_to_one();
    in_order();
    each_its_own();
    ends();
    in_child();
    return 0;
}
