/*
 * Handlers that post a semaphore hit a thread on its own kernel thread wherever it is, also in the
 * middle of sem_wait on that very semaphore.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#define SIGNALS 40000

static sem_t sem;
static atomic_int stop;

static void on_signal(int sig)
{
    (void)sig;
    int saved = errno;

    SYS(sem_post(&sem));
    errno = saved;
}

static void *body(void *argument)
{
    struct sched_param param = { 0 };

    (void)argument;
    OK(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param));
    while (!atomic_load(&stop)) {
        if (sem_wait(&sem) < 0) {
            CHECK_EQ(errno, EINTR);
        }
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    pthread_t thread;

    watchdog();
    SYS(sem_init(&sem, 0, 0));
    SYS(sigaction(SIGUSR2, &action, NULL));
    thread = start(body, NULL);
    for (int i = 0; i < SIGNALS; i++) {
        OK(pthread_kill(thread, SIGUSR2));
    }
    atomic_store(&stop, 1);
    OK(pthread_kill(thread, SIGUSR2));
    finish(thread);
    return 0;
}
