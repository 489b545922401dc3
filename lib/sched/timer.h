/* Timers: a heap per proc, fired by whoever runs the proc. */
#ifndef SCHED_TIMER_H
#define SCHED_TIMER_H

#include "base/atomic.h"
#include "base/lock.h"

#define TIMER_NEVER UINT64_MAX

struct worker;
struct timer_heap;

enum timer_state { TIMER_IDLE, TIMER_ARMED, TIMER_FIRING };

/* One pending call. Embedded in what waits, typically on a parked fiber's stack. */
struct timer {
    uint64_t when; /* ns of CLOCK_MONOTONIC */
    /* Runs on a scheduler stack, no lock held. Must not touch the timer. */
    void (*fire)(struct worker *w, void *arg);
    void *arg;
    struct timer_heap *heap;
    uint32_t index;
    _Atomic uint32_t state;
};

struct timer_heap {
    struct lock lock;
    uint32_t count, room;
    struct timer **slot;
    _Atomic uint64_t
        first; /* when of the head, TIMER_NEVER when empty: readable without the lock */
};

uint64_t timer_now(void);

/* Adds t, with when, fire and arg set. Returns 0 or -ENOMEM. */
int timer_arm(struct timer_heap *h, struct timer *t);

/* After this t is idle and its fire is not running: removed, or waited for. */
void timer_disarm(struct timer *t);

/* Fires everything due at now; returns how many fired. Only one thread at a time per heap. */
int timer_run(struct timer_heap *h, struct worker *w, uint64_t now);

void timer_heap_init(struct timer_heap *h);

#endif
