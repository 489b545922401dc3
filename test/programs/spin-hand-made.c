/*
 * Threads that spin on a variable without any call, more of them than CPUs, do not keep the
 * thread they wait for from running (threads are preempted).
 */
#include "check.h"

enum { SPINNERS = 6, ROUNDS = 5 };

static volatile int turn;

static void *spins(void *argument)
{
    for (int i = 1; i <= ROUNDS; i++) {
        while (turn < i) {
        }
    }
    return argument;
}

static void *advances(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        for (volatile int work = 0; work < 100000; work++) {
        }
        turn++;
    }
    return argument;
}

int main(void)
{
    pthread_t threads[SPINNERS];

    watchdog();
    for (int i = 0; i < SPINNERS; i++) {
        threads[i] = start(spins, NULL);
    }
    finish(start(advances, NULL));
    for (int i = 0; i < SPINNERS; i++) {
        finish(threads[i]);
    }
    return 0;
}
