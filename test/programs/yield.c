/*
 * sched_yield loops make progress whatever the order of the threads: many of
 * them take turns on a variable without any other synchronisation (POSIX sched_yield).
 */
#include "check.h"

#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 10, ROUNDS = 200 };

static atomic_int turn;

static void *body(void *argument)
{
    int me = *(int *)argument;

    for (int i = 0; i < ROUNDS; i++) {
        while (turn != i * THREADS + me) {
            CHECK_EQ(sched_yield(), 0);
        }
        turn++;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    watchdog();
    for (int i = 0; i < THREADS; i++) {
        /* Created in the opposite order of their turns. */
        numbers[i] = THREADS - 1 - i;
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
    CHECK_EQ(turn, THREADS * ROUNDS);
    return 0;
}
