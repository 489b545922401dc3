/*
 * Cancelling threads that have a scheduling policy of their own: in a blocking call, in waits for
 * objects, while they compute with the asynchronous type, and not while it is disabled.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

static int fds[2];
static sem_t never, started;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_int cleaned, disabled_done;
static volatile long spins;

static void clean(void *argument)
{
    (void)argument;
    atomic_fetch_add(&cleaned, 1);
}

static void unlock(void *argument)
{
    OK(pthread_mutex_unlock(argument));
    atomic_fetch_add(&cleaned, 1);
}

static void begin(void)
{
    struct sched_param param = { 0 };

    OK(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param));
    sem_post(&started);
}

static void *in_read(void *argument)
{
    char c;

    (void)argument;
    begin();
    pthread_cleanup_push(clean, NULL);
    while (read(fds[0], &c, 1) < 0) {
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_cond(void *argument)
{
    (void)argument;
    begin();
    OK(pthread_mutex_lock(&mutex));
    pthread_cleanup_push(unlock, &mutex);
    for (;;) {
        pthread_cond_wait(&cond, &mutex);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_sem(void *argument)
{
    (void)argument;
    begin();
    pthread_cleanup_push(clean, NULL);
    while (sem_wait(&never) < 0) {
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *in_sleep(void *argument)
{
    (void)argument;
    begin();
    pthread_cleanup_push(clean, NULL);
    for (;;) {
        sleep(100);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *computing(void *argument)
{
    (void)argument;
    pthread_cleanup_push(clean, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    begin();
    for (;;) {
        spins++;
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *disabled(void *argument)
{
    (void)argument;
    pthread_cleanup_push(clean, NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    begin();
    nap(50);
    atomic_store(&disabled_done, 1);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    nap(10000);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    static void *(*const bodies[])(void *) = { in_read,  in_cond,   in_sem,
                                               in_sleep, computing, disabled };
    int n = sizeof bodies / sizeof *bodies;

    watchdog();
    SYS(pipe(fds));
    SYS(sem_init(&never, 0, 0));
    SYS(sem_init(&started, 0, 0));
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < n; i++) {
            pthread_t thread = start(bodies[i], NULL);

            while (sem_wait(&started) < 0) {
            }
            if (round % 2) {
                nap(2); /* else it is cancelled on its way */
            }
            OK(pthread_cancel(thread));
            CHECK(finish(thread) == PTHREAD_CANCELED);
            CHECK_EQ(atomic_load(&cleaned), round * n + i + 1);
        }
        CHECK_EQ(atomic_load(&disabled_done), 1);
        OK(pthread_mutex_lock(&mutex));
        OK(pthread_mutex_unlock(&mutex));
    }
    return 0;
}
