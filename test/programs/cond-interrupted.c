/*
 * A signal's handler does not end a wait on a condition variable, whether it was installed with
 * SA_RESTART or not; a deadline stays what it was; and no wake-up is lost that comes while the
 * handler runs (POSIX pthread_cond_wait: "resumes waiting as if it was not interrupted").
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>

enum { SIGNALS = 50, ROUNDS = 20000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_int handled, returned, waiting, over;
static int given, taken;

static void handler(int signal)
{
    CHECK(signal == SIGUSR1 || signal == SIGUSR2);
    atomic_fetch_add(&handled, 1);
}

static void *wait_for_one(void *arg)
{
    (void)arg;
    OK(pthread_mutex_lock(&mutex));
    atomic_store(&waiting, 1);
    while (!given) {
        OK(pthread_cond_wait(&cond, &mutex));
        atomic_fetch_add(&returned, 1);
    }
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

static void *wait_in_vain(void *arg)
{
    struct timespec end = *(struct timespec *)arg;
    OK(pthread_mutex_lock(&mutex));
    atomic_store(&waiting, 1);
    CHECK_EQ(pthread_cond_timedwait(&cond, &mutex, &end), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, end));
    OK(pthread_mutex_unlock(&mutex));
    atomic_store(&over, 1);
    return NULL;
}

/* Takes what the main thread gives, one at a time: a lost wake-up stops both. */
static void *take(void *arg)
{
    (void)arg;
    OK(pthread_mutex_lock(&mutex));
    while (taken < ROUNDS) {
        while (given == taken) {
            OK(pthread_cond_wait(&cond, &mutex));
        }
        taken++;
    }
    OK(pthread_mutex_unlock(&mutex));
    return NULL;
}

static void *disturb(void *thread)
{
    while (!atomic_load(&over)) {
        OK(pthread_kill(*(pthread_t *)thread, SIGUSR1));
        sched_yield();
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    struct timespec end;
    pthread_t thread, disturber;

    watchdog();

    SYS(sigaction(SIGUSR1, &action, NULL));
    action.sa_flags = SA_RESTART;
    SYS(sigaction(SIGUSR2, &action, NULL));

    OK(pthread_create(&thread, NULL, wait_for_one, NULL));
    while (!atomic_load(&waiting)) {
        sched_yield();
    }
    for (int i = 0; i < SIGNALS; i++) {
        /* With the mutex in hand the thread is in its wait. */
        OK(pthread_mutex_lock(&mutex));
        OK(pthread_kill(thread, i % 2 ? SIGUSR1 : SIGUSR2));
        OK(pthread_mutex_unlock(&mutex));
        while (atomic_load(&handled) <= i) {
            sched_yield();
        }
    }
    CHECK_EQ(returned, 0);
    OK(pthread_mutex_lock(&mutex));
    given = 1;
    OK(pthread_cond_signal(&cond));
    OK(pthread_mutex_unlock(&mutex));
    OK(pthread_join(thread, NULL));

    atomic_store(&waiting, 0);
    end = from_now(CLOCK_REALTIME, 200);
    OK(pthread_create(&thread, NULL, wait_in_vain, &end));
    while (!atomic_load(&waiting)) {
        sched_yield();
    }
    while (!atomic_load(&over)) {
        OK(pthread_kill(thread, SIGUSR1));
        usleep(1000);
    }
    OK(pthread_join(thread, NULL));

    atomic_store(&over, 0);
    given = 0;
    OK(pthread_create(&thread, NULL, take, NULL));
    OK(pthread_create(&disturber, NULL, disturb, &thread));
    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_mutex_lock(&mutex));
        while (given > taken) { /* only ever one too many: each needs its own wake-up */
            OK(pthread_mutex_unlock(&mutex));
            sched_yield();
            OK(pthread_mutex_lock(&mutex));
        }
        given++;
        OK(pthread_cond_signal(&cond));
        OK(pthread_mutex_unlock(&mutex));
    }
    OK(pthread_join(thread, NULL));
    atomic_store(&over, 1);
    OK(pthread_join(disturber, NULL));
    return 0;
}
