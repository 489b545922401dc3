/*
 * A signal that pthread_kill sends is handled, whatever its receiver is about to do: as collectors of garbage
 * stop all threads. Some threads compute, one waits in a futex that is woken all the time, the main thread waits
 * for the others in a futex.
 */
#include "check.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>

#define THREADS 10
#define ROUNDS  300

static pthread_t all[THREADS + 1];
static sem_t stopped, go_on[THREADS + 1];
static __thread int index_of = THREADS;
static pthread_mutex_t world = PTHREAD_MUTEX_INITIALIZER;
static int ended, ended_word, tick;

static void on_stop(int number)
{
    int saved = errno;

    (void)number;
    sem_post(&stopped);
    while (sem_wait(&go_on[index_of]) < 0 && errno == EINTR) {
    }
    errno = saved;
}

static void stop_the_world(int self)
{
    sigset_t stop, old;
    struct timespec late;

    sigemptyset(&stop);
    sigaddset(&stop, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &stop, &old);
    /* While it waits for its turn others must be able to stop it. */
    while (pthread_mutex_trylock(&world)) {
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        sched_yield();
        pthread_sigmask(SIG_BLOCK, &stop, NULL);
    }
    for (int i = 0; i <= THREADS; i++)
        if (i != self)
            OK(pthread_kill(all[i], SIGUSR2));
    for (int i = 0; i < THREADS; i++) {
        clock_gettime(CLOCK_REALTIME, &late);
        late.tv_sec += 8;
        while (sem_timedwait(&stopped, &late) < 0)
            CHECK(errno == EINTR); /* ETIMEDOUT: a signal is lost */
    }
    for (int i = 0; i <= THREADS; i++)
        if (i != self)
            sem_post(&go_on[i]);
    pthread_mutex_unlock(&world);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void *works(void *argument)
{
    static int begun;
    int self = index_of = (int)(long)argument;

    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&begun, __ATOMIC_SEQ_CST) < THREADS)
        usleep(1000);

    for (int round = 0; round < ROUNDS; round++) {
        if (round % 10 == self % 10)
            stop_the_world(self);
        for (volatile int i = 0; i < 20000; i++) {
        }
        __atomic_add_fetch(&tick, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &tick, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        if (round % 3 == 0) {
            struct timespec short_time = { 0, 200000 };
            syscall(SYS_futex, &tick, FUTEX_WAIT_PRIVATE, __atomic_load_n(&tick, __ATOMIC_SEQ_CST),
                    &short_time, NULL, 0);
        }
    }
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&ended_word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &ended_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    for (;;) { /* stays, so that it can be stopped */
        if (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) == THREADS)
            return NULL;
        usleep(1000);
    }
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_stop, .sa_flags = SA_RESTART };

    watchdog();
    OK(sem_init(&stopped, 0, 0));
    for (int i = 0; i <= THREADS; i++)
        OK(sem_init(&go_on[i], 0, 0));
    SYS(sigaction(SIGUSR2, &action, NULL));
    all[THREADS] = pthread_self();
    pthread_mutex_lock(&world);
    for (long i = 0; i < THREADS; i++)
        all[i] = start(works, (void *)i);
    pthread_mutex_unlock(&world);
    for (int seen; (seen = __atomic_load_n(&ended, __ATOMIC_SEQ_CST)) < THREADS;) {
        int word = __atomic_load_n(&ended_word, __ATOMIC_SEQ_CST);

        if (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) < THREADS)
            syscall(SYS_futex, &ended_word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
    }
    for (int i = 0; i < THREADS; i++)
        finish(all[i]);
    return 0;
}
