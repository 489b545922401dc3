/* What the tests of the objects in sync/ share. */
#ifndef TEST_UNIT_SYNC_COMMON_H
#define TEST_UNIT_SYNC_COMMON_H

#include "test/unit/common.h"

#include "sync/sync.h"

/* The test's thread and those it makes are adopted as kernel-thread fibers. */
static inline void sync_init(void)
{
    waitq_start();
    fiber_current();
}

static inline uint64_t soon(uint64_t ms)
{
    return timer_now() + ms * NSEC_PER_MSEC;
}

/* How many wait on this address. */
static inline int queued(const void *key)
{
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_bucket(key);
    struct wake_list none = { 0 };
    int n = 0;

    waitq_lock(self, b);
    for (struct list *node = b->waiters.next; node != &b->waiters; node = node->next)
        n += container_of(node, struct waiter, node)->key == key;
    waitq_unlock_and_wake(self, b, &none);
    return n;
}

enum { THREADS = 4 };

struct gate {
    pthread_barrier_t barrier;
    void *(*start)(void *);
};
struct passer {
    struct gate *gate;
    intptr_t number;
};

static inline void *pass_gate(void *arg)
{
    struct passer *p = arg;

    pthread_barrier_wait(&p->gate->barrier);
    return p->gate->start((void *)p->number);
}

/* Runs start(0) to start(n - 1) at the same time and looks what they checked. */
static inline void run_threads(int n, void *(*start)(void *))
{
    struct gate gate = { .start = start };
    struct passer passers[THREADS];
    pthread_t threads[THREADS];

    pthread_barrier_init(&gate.barrier, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        passers[i] = (struct passer){ &gate, i };
        threads[i] = spawn(pass_gate, &passers[i]);
    }
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    assert_checks();
}

#endif
