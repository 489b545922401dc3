/* Handlers that wait, while more signals are queued for their thread: each comes to the thread that it was
 * sent to, in order, however the threads take turns meanwhile; also what a thread queues for itself. */
#include "check.h"
#include <signal.h>

#define THREADS 6
#define EACH    40

static pthread_t threads[THREADS];
static pthread_barrier_t ready;
static _Thread_local int number;
static _Thread_local volatile int seen[2];

static void handler(int sig, siginfo_t *info, void *context)
{
    int which = sig - SIGRTMIN;
    (void)context;
    CHECK_EQ(info->si_value.sival_int >> 16, number);
    CHECK_EQ(info->si_value.sival_int & 0xffff, seen[which]);
    if (seen[which] % 4 == 0) {
        usleep(200);
    } else {
        sched_yield();
    }
    seen[which]++;
}

static void queue(int to, int sig, int i)
{
    int e;
    while ((e = pthread_sigqueue(threads[to], sig, (union sigval){ .sival_int = to << 16 | i })) ==
           EAGAIN) {
        usleep(100);
    }
    OK(e);
}

static void *body(void *argument)
{
    number = (int)(long)argument;
    pthread_barrier_wait(&ready);
    for (int i = 0; i < EACH; i++) {
        queue(number, SIGRTMIN + 1, i);
        CHECK_EQ(seen[1], i + 1); /* before the call returned */
    }
    while (seen[0] < EACH) {
        usleep(300);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    watchdog();
    SYS(sigaction(SIGRTMIN, &action, NULL));
    sigaddset(&action.sa_mask, SIGRTMIN);
    SYS(sigaction(SIGRTMIN + 1, &action, NULL));
    OK(pthread_barrier_init(&ready, NULL, THREADS + 1));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)i);
    }
    pthread_barrier_wait(&ready);
    for (int i = 0; i < EACH; i++) {
        for (int t = 0; t < THREADS; t++) {
            queue(t, SIGRTMIN, i);
        }
        if (i % 10 == 0) {
            usleep(500);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
