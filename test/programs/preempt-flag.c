/* Two threads that wait for each other by looking at a word in memory, with no call in the loop. */
#include "check.h"

#include <stdatomic.h>

#define ROUNDS 5

static atomic_int turn;

static void wait_for(int value)
{
    while (atomic_load_explicit(&turn, memory_order_relaxed) != value)
        ;
}

static void *other(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        wait_for(2 * i);
        atomic_store(&turn, 2 * i + 1);
    }
    return NULL;
}

int main(void)
{
    watchdog();
    atomic_store(&turn, -1);
    pthread_t thread = start(other, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        atomic_store(&turn, 2 * i);
        wait_for(2 * i + 1);
    }
    finish(thread);
    puts("both saw every turn");
    return 0;
}
