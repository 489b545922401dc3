/* The run queue of a proc: a ring of fibers with one producer and many thieves, plus one slot for
 * the fiber that should run next. After Go's, which took it from the work-stealing literature. */
#ifndef SCHED_RUNQ_H
#define SCHED_RUNQ_H

#include "base/atomic.h"
#include "base/defs.h"

#define RUNQ_SIZE 256u

struct fiber;

struct runq {
    _Atomic uint32_t head;                                      /* consumers, by compare-and-swap */
    _Atomic uint32_t tail __attribute__((aligned(CACHE_LINE))); /* the owner only */
    _Atomic(struct fiber *) next;
    _Atomic(struct fiber *) ring[RUNQ_SIZE];
};

/* Fibers that a full ring hands back, linked through fiber->next, for the global queue. */
struct runq_batch {
    struct fiber *first, *last;
    uint32_t count;
};

/* Owner: append f. When the ring is full, half of it and f go to *overflow. */
void runq_put(struct runq *q, struct fiber *f, struct runq_batch *overflow);

/* Owner: make f the next to run; returns the fiber it displaced (to be put), or NULL. */
struct fiber *runq_put_next(struct runq *q, struct fiber *f);

/* Owner: the next fiber, or NULL. */
struct fiber *runq_get(struct runq *q);
/* The one that has waited longest in the ring: fibers that make each other the next would otherwise keep
 * the ring waiting for ever. */
struct fiber *runq_get_oldest(struct runq *q);

/* Anyone: move half of victim's ring into q (owned by the caller) and return one of them. */
struct fiber *runq_steal(struct runq *q, struct runq *victim, bool take_next);

/* Free slots of the ring; owner. */
uint32_t runq_room(struct runq *q);

/* Anyone: whether it looked empty. */
bool runq_empty(struct runq *q);
static inline bool runq_ring_empty(struct runq *q)
{
    return load_acquire(&q->head) == load_acquire(&q->tail);
}

void batch_add(struct runq_batch *b, struct fiber *f);

#endif
