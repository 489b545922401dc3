/*
 * Deep recursion that blocks at many levels: 30 threads each go 2,000 calls down and back, with
 * every frame's contents intact, while they move and wait.
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>

enum { THREADS = 30, DEPTH = 2000 };

static sem_t sem;

__attribute__((noinline)) static long descend(int me, int depth)
{
    volatile int marks[16];
    long below = 0;

    for (int i = 0; i < 16; i++) {
        marks[i] = me * DEPTH + depth;
    }
    if (depth % 16 == 0) {
        sched_yield();
    }
    if (depth % 256 == 0) {
        sem_wait(&sem);
        usleep(1);
        sem_post(&sem);
    }
    if (depth < DEPTH) {
        below = descend(me, depth + 1);
    }
    if (depth % 16 == 8) {
        sched_yield();
    }
    for (int i = 0; i < 16; i++) {
        CHECK_EQ(marks[i], me * DEPTH + depth);
    }
    return below + depth;
}

static void *body(void *argument)
{
    CHECK_EQ(descend((int)(long)argument, 1), (long)DEPTH * (DEPTH + 1) / 2);
    return NULL;
}

int main(void)
{
    watchdog();
    SYS(sem_init(&sem, 0, 3));
    run_threads(THREADS, body);
    return 0;
}
