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
    int me = THREADS - 1 - (int)(long)argument; /* created in the opposite order of their turns */

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
    watchdog();
    run_threads(THREADS, body);
    CHECK_EQ(turn, THREADS * ROUNDS);
    return 0;
}
