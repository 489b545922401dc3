/* Real-time signals are counted: every one that was queued for a thread is handled once, by that thread,
 * in order, while it computes, waits and yields, and while others send to it. */
#include "check.h"
#include <signal.h>

#define THREADS 20
#define EACH    150

static _Thread_local volatile int seen[3];
static pthread_t threads[THREADS];
static pthread_barrier_t ready;

static void handler(int sig, siginfo_t *info, void *context)
{
    int from = info->si_value.sival_int >> 16, i = info->si_value.sival_int & 0xffff;
    (void)sig;
    (void)context;
    CHECK_EQ(i, seen[from]);
    seen[from]++;
}

static void *body(void *argument)
{
    volatile long x = 0;
    pthread_barrier_wait(&ready);
    while (seen[0] + seen[1] + seen[2] < 3 * EACH) {
        switch ((long)argument % 3) {
        case 0:
            usleep(100);
            break;
        case 1:
            sched_yield();
            break;
        default:
            for (int i = 0; i < 10000; i++) {
                x++;
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(seen[i], EACH);
    }
    return NULL;
}

static void *sends(void *argument)
{
    int from = (int)(long)argument;
    pthread_barrier_wait(&ready);
    for (int i = 0; i < EACH; i++) {
        for (int t = 0; t < THREADS; t++) {
            int e;
            while ((e = pthread_sigqueue(threads[t], SIGRTMIN + from,
                                         (union sigval){ .sival_int = from << 16 | i })) ==
                   EAGAIN) {
                usleep(100);
            }
            OK(e);
        }
        if (i % 8 == 0) {
            usleep(100);
        }
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
    pthread_t senders[3];
    watchdog();
    for (int i = 0; i < 3; i++) {
        sigaddset(&action.sa_mask, SIGRTMIN + i);
    }
    for (int i = 0; i < 3; i++) {
        SYS(sigaction(SIGRTMIN + i, &action, NULL));
    }
    OK(pthread_barrier_init(&ready, NULL, THREADS + 3));
    for (long i = 0; i < THREADS; i++) {
        threads[i] = start(body, (void *)i);
    }
    for (long i = 0; i < 3; i++) {
        senders[i] = start(sends, (void *)i);
    }
    for (int i = 0; i < 3; i++) {
        finish(senders[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    return 0;
}
