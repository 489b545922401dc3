/*
 * Spin locks with more threads than CPUs: exclusion holds, nobody starves although holders now
 * and then yield inside, and a try answers EBUSY (POSIX pthread_spin_lock).
 */
#include "check.h"

#include <sched.h>

enum { THREADS = 16, ROUNDS = 2000 };

static pthread_spinlock_t lock;
static volatile long a, b;

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        OK(pthread_spin_lock(&lock));
        CHECK_EQ(a, b);
        a++;
        if (i == ROUNDS / 2) {
            sched_yield();
        }
        b++;
        OK(pthread_spin_unlock(&lock));
    }
    return argument;
}

static void *tries(void *argument)
{
    CHECK_EQ(pthread_spin_trylock(&lock), EBUSY);
    return argument;
}

int main(void)
{
    watchdog();
    OK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE));
    run_threads(THREADS, body);
    CHECK_EQ(a, THREADS * ROUNDS);
    OK(pthread_spin_trylock(&lock));
    finish(start(tries, NULL));
    OK(pthread_spin_unlock(&lock));
    OK(pthread_spin_destroy(&lock));
    return 0;
}
