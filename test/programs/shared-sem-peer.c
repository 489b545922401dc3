/*
 * Process-shared semaphores between threads of two processes, of which the second has nothing preloaded:
 * every token given is taken once, and deadlines pass (POSIX sem_init with pshared).
 */
#include "check.h"

#include <semaphore.h>

#include "peer.h"

enum { THREADS = 8, ROUNDS = 1000 };

static struct shared {
    sem_t ping, pong, never;
    int taken;
} * s;

static void *give(void *argument)
{
    int first = *(int *)argument;

    for (int i = 0; i < ROUNDS; i++) {
        SYS(sem_post(first ? &s->ping : &s->pong));
        while (sem_wait(first ? &s->pong : &s->ping) < 0) {
            CHECK_EQ(errno, EINTR);
        }
        __atomic_add_fetch(&s->taken, 1, __ATOMIC_SEQ_CST);
    }
    struct timespec t = from_now(CLOCK_REALTIME, 10);
    FAILS(sem_timedwait(&s->never, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    t = from_now(CLOCK_MONOTONIC, 10);
    FAILS(sem_clockwait(&s->never, CLOCK_MONOTONIC, &t), ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    FAILS(sem_trywait(&s->never), EAGAIN);
    return NULL;
}

static void run(int first)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        threads[i] = start(give, &first);
    }
    for (int i = 0; i < THREADS; i++) {
        finish(threads[i]);
    }
}

int main(int argc, char **argv)
{
    int value;

    (void)argv;
    watchdog();
    if (argc > 1) {
        s = shared_memory();
        run(0);
        return 0;
    }
    s = make_shared_memory();
    SYS(sem_init(&s->ping, 1, 0));
    SYS(sem_init(&s->pong, 1, 0));
    SYS(sem_init(&s->never, 1, 0));
    pid_t child = peer("peer");
    run(1);
    CHECK_EQ(reap(child), 0);
    CHECK_EQ(s->taken, 2 * THREADS * ROUNDS);
    SYS(sem_getvalue(&s->ping, &value));
    CHECK_EQ(value, 0);
    SYS(sem_getvalue(&s->pong, &value));
    CHECK_EQ(value, 0);
    SYS(sem_destroy(&s->ping));
    SYS(sem_destroy(&s->pong));
    SYS(sem_destroy(&s->never));
    return 0;
}
