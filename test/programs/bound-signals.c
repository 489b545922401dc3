/*
 * Signals for threads that have a scheduling policy of their own: the handler runs on the thread that
 * was meant, calls end with EINTR or go on as SA_RESTART says, and sigwait gets what is blocked.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

static int fds[2];
static sem_t never, started;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local volatile int handled;
static _Thread_local pthread_t me;
static atomic_int strangers, got_lock, ended;

static void on_signal(int sig)
{
    (void)sig;
    handled++;
    if (!pthread_equal(me, pthread_self())) {
        atomic_fetch_add(&strangers, 1);
    }
}

static void begin(void)
{
    struct sched_param param = { 0 };

    me = pthread_self();
    OK(pthread_setschedparam(me, SCHED_BATCH, &param));
    sem_post(&started);
}

static void *in_read(void *argument)
{
    char c;

    (void)argument;
    begin();
    FAILS(read(fds[0], &c, 1), EINTR);
    CHECK(handled >= 1);
    ended = 1;
    return NULL;
}

static void *in_sem(void *argument)
{
    (void)argument;
    begin();
    FAILS(sem_wait(&never), EINTR);
    CHECK(handled >= 1);
    ended = 1;
    return NULL;
}

static void *in_lock(void *argument)
{
    (void)argument;
    begin();
    OK(pthread_mutex_lock(&mutex));
    atomic_store(&got_lock, 1);
    OK(pthread_mutex_unlock(&mutex));
    CHECK_EQ(handled, 1);
    return NULL;
}

static void *computing(void *argument)
{
    (void)argument;
    begin();
    while (!handled) {
    }
    return NULL;
}

static void *waits(void *argument)
{
    sigset_t set;
    int sig;

    (void)argument;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    begin();
    OK(sigwait(&set, &sig));
    CHECK_EQ(sig, SIGUSR1);
    CHECK_EQ(handled, 0);
    return NULL;
}

static void *blocks_then_binds(void *argument)
{
    sigset_t set;

    (void)argument;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    OK(pthread_kill(pthread_self(), SIGUSR1));
    begin();
    sigpending(&set);
    CHECK(sigismember(&set, SIGUSR1));
    CHECK_EQ(handled, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    CHECK_EQ(handled, 1);
    return NULL;
}

static void signalled(void *(*body)(void *))
{
    ended = 0;
    pthread_t thread = start(body, NULL);

    while (sem_wait(&started) < 0) {
    }
    if (body != blocks_then_binds) {
        nap(20);
        OK(pthread_kill(thread, SIGUSR1));
    }
    while ((body == in_read || body == in_sem) && !ended) { /* the first may come before the wait */
        nap(10);
        OK(pthread_kill(thread, SIGUSR1));
    }
    if (body == in_lock) {
        nap(20);
        CHECK_EQ(atomic_load(&got_lock), 0);
        OK(pthread_mutex_unlock(&mutex));
    }
    finish(thread);
}

int main(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    watchdog();
    me = pthread_self();
    SYS(pipe(fds));
    SYS(sem_init(&never, 0, 0));
    SYS(sem_init(&started, 0, 0));
    SYS(sigaction(SIGUSR1, &action, NULL));
    signalled(in_read);
    signalled(in_sem);
    OK(pthread_mutex_lock(&mutex));
    signalled(in_lock);
    signalled(computing);
    signalled(waits);
    signalled(blocks_then_binds);
    CHECK_EQ(handled, 0);
    CHECK_EQ(atomic_load(&strangers), 0);
    return 0;
}
