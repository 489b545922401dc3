/*
 * A handler without SA_RESTART ends sem_wait with EINTR; with it sem_wait goes on, and sem_timedwait ends
 * all the same (signal(7)). Private and process-shared, in the only thread and in one of several.
 */
#include "check.h"

#include "signals.h"

#include <semaphore.h>
#include <sys/time.h>

static sem_t sem;
static int waiting, done;

static void *ends(void *argument)
{
    struct timespec t = from_now(CLOCK_REALTIME, 50000);

    __atomic_store_n(&waiting, 1, __ATOMIC_SEQ_CST);
    if (argument) {
        FAILS(sem_timedwait(&sem, &t), EINTR);
    } else {
        FAILS(sem_wait(&sem), EINTR);
    }
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *goes_on(void *argument)
{
    __atomic_store_n(&waiting, 1, __ATOMIC_SEQ_CST);
    SYS(sem_wait(&sem));
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    return argument;
}

static pthread_t started(void *(*body)(void *), void *argument)
{
    waiting = done = 0;
    handled = 0;
    pthread_t thread = start(body, argument);
    while (!__atomic_load_n(&waiting, __ATOMIC_SEQ_CST)) {
        nap(1);
    }
    nap(20);
    OK(pthread_kill(thread, SIGUSR1));
    return thread;
}

/* The first signal may come before the wait. */
static void interrupt(pthread_t thread)
{
    while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
        nap(5);
        OK(pthread_kill(thread, SIGUSR1));
    }
    finish(thread);
}

int main(void)
{
    for (int shared = 0; shared < 2; shared++) {
        struct itimerval soon = { { 0, 20000 }, { 0, 20000 } };

        SYS(sem_init(&sem, shared, 0));
        install_counter(SIGUSR1, 0);
        install_counter(SIGALRM, 0);
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        ends(NULL);
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        ends(&sem);
        install_counter(SIGUSR1, SA_RESTART);
        install_counter(SIGALRM, SA_RESTART);
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        ends(&sem);
        soon = (struct itimerval){ 0 };
        SYS(setitimer(ITIMER_REAL, &soon, NULL));
        nap(5); /* for one that is on its way */
        signal(SIGALRM, SIG_DFL);
        watchdog();

        pthread_t thread = started(goes_on, NULL);
        nap(30);
        CHECK_EQ(__atomic_load_n(&done, __ATOMIC_SEQ_CST), 0);
        SYS(sem_post(&sem));
        finish(thread);
        CHECK_EQ(handled, 1);
        interrupt(started(ends, &sem));
        install_counter(SIGUSR1, 0);
        interrupt(started(ends, NULL));
        interrupt(started(ends, &sem));
        alarm(0);
        SYS(sem_destroy(&sem));
    }
    return 0;
}
