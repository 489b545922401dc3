/* A spin lock for sections of a few dozen instructions inside the runtime.
 *
 * It protects runtime state only and is never held while the program's code runs, so a holder is
 * either running or was descheduled by the kernel; the contended path therefore yields the CPU to
 * the kernel after a while. The holder must be "in the runtime" (sched/sched.h) or on a kernel
 * thread of ours, so that nothing can take the holder's proc away meanwhile. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/atomic.h"
#include "base/defs.h"

struct lock {
    _Atomic uint32_t held;
};

/* The slow half, in lock.c. */
void lock_contended(struct lock *l);

/* How to wait politely is the machine's business: lib/arch provides it. */
void lock_relax(unsigned round);

static inline bool lock_try(struct lock *l)
{
    uint32_t free = 0;
    return cas_acquire(&l->held, &free, 1); /* partner: lock_release */
}

static inline void lock_acquire(struct lock *l)
{
    if (unlikely(!lock_try(l)))
        lock_contended(l);
}

static inline void lock_release(struct lock *l)
{
    store_release(&l->held, 0); /* partner: lock_try */
}

static inline void lock_init(struct lock *l)
{
    store_relaxed(&l->held, 0);
}

#endif
