/* Mutexes: the contended half, and the types other than normal.
 *
 * Protocol of the lock word: 0 free, 1 held, 2 held and somebody may wait. A locker that finds it
 * held stores 2 and waits while it is 2. Unlocking swaps 1 for 0 without looking further; from 2 it
 * goes through the bucket's lock, where it either stores 0 and wakes the oldest waiter, which then
 * competes with newcomers (throughput), or, when that waiter has already lost twice, leaves the word
 * at 2 and hands the mutex over (bounded unfairness). The object is not touched after the word has
 * become 0 or has been handed over, so it may be freed by the next owner.
 *
 * A process-shared mutex follows the same protocol as glibc's, which has no hand-over, and waits in the
 * kernel (shared.c). Robust mutexes: robust.c; with a priority ceiling: ceiling.c; with inheritance: inherit.c. */
#include "sync/sync.h"

#include <errno.h>
#include "arch/arch.h"

#define SPIN_ROUNDS   4
#define SPIN_PAUSES   30
#define PATIENCE      2 /* lost competitions before the lock is handed over */
#define TAG_HAND_OVER 1u

/* A short spin pays only while the owner runs on another CPU. */
static bool spin(struct mutex *m, struct fiber *self)
{
    if (load_relaxed(&self->flags) & FIBER_DIRECT || load_relaxed(&sched.nidle) + 1 >= sched.nprocs)
        return false;
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        for (int j = 0; j < SPIN_PAUSES; j++)
            arch_pause();
        uint32_t free = 0;
        if (!load_relaxed(&m->lock) && cas_acquire(&m->lock, &free, 1))
            return true;
    }
    return false;
}

static int wait_for_lock(struct mutex *m, struct fiber *self, uint64_t deadline)
{
    if (spin(m, self))
        return 0;
    for (int lost = 0;; lost++) {
        struct bucket *b = waitq_enter(self, m);
        if (atomic_exchange_explicit(&m->lock, 2, memory_order_acquire) == 0) {
            waitq_leave(self, b);
            return 0;
        }
        struct waiter x = { .bits = WAITQ_ANY, .tag = lost >= PATIENCE ? TAG_HAND_OVER : 0 };
        int err = waitq_park(self, b, &x, m, lost > 0, deadline, PARK_MUTEX);
        if (err == -EINTR) {
            sched_wait_interrupted(self);
            continue; /* signal handlers ran, and the wait goes on */
        }
        if (err)
            return err;
        if (x.tag == TAG_HAND_OVER)
            return 0;
    }
}

/* glibc's three states in memory that another process sees. */
static int acquire_shared(struct mutex *m, uint64_t deadline)
{
    uint32_t free = 0;
    if (cas_acquire(&m->lock, &free, 1))
        return 0;
    while (atomic_exchange_explicit(&m->lock, 2, memory_order_acquire) != 0)
        if (shared_wait_on(&m->lock, 2, deadline, PARK_MUTEX))
            return -ETIMEDOUT;
    return 0;
}

static bool owned(struct mutex *m, struct fiber *self)
{
    if (m->kind & MUTEX_SHARED)
        return load_relaxed(&m->owner) == shared_owner() && m->users == self->tid;
    return load_relaxed(&m->owner) == self->tid;
}

static void own(struct mutex *m, struct fiber *self)
{
    if (m->kind & MUTEX_SHARED) {
        m->users = self->tid;
        store_relaxed(&m->owner, shared_owner());
    } else {
        store_relaxed(&m->owner, self->tid);
    }
    m->count = 1;
}

static int acquire(struct mutex *m, struct fiber *self, uint64_t deadline)
{
    if (m->kind & MUTEX_SHARED)
        return acquire_shared(m, deadline);
    uint32_t free = 0;
    if (cas_acquire(&m->lock, &free, 1)) /* partner: mutex_unlock */
        return 0;
    return wait_for_lock(m, self, deadline);
}

int mutex_lock_slow(struct mutex *m, uint64_t deadline)
{
    if (m->kind & MUTEX_ROBUST)
        return robust_lock(m, deadline, false);
    if (m->kind & MUTEX_PROTECT)
        return ceiling_lock(m, deadline, false);
    if (m->kind & MUTEX_INHERIT)
        return inherit_lock(m, deadline, false);
    struct fiber *self = fiber_current();
    switch (m->kind & MUTEX_TYPE) {
    case PTHREAD_MUTEX_RECURSIVE:
        if (owned(m, self)) {
            return mutex_again(m);
        }
        break;
    case PTHREAD_MUTEX_ERRORCHECK:
        if (owned(m, self))
            return -EDEADLK;
        break;
    }
    int err = acquire(m, self, deadline);
    if (!err)
        own(m, self);
    return err;
}

int mutex_trylock(struct mutex *m)
{
    if (m->kind & MUTEX_ROBUST)
        return robust_lock(m, 0, true);
    if (m->kind & MUTEX_PROTECT)
        return ceiling_lock(m, 0, true);
    if (m->kind & MUTEX_INHERIT)
        return inherit_lock(m, 0, true);
    struct fiber *self = fiber_current();
    if ((m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_RECURSIVE && owned(m, self)) {
        return mutex_again(m);
    }
    uint32_t free = 0;
    if (load_relaxed(&m->lock) || !cas_acquire(&m->lock, &free, 1))
        return -EBUSY;
    own(m, self);
    return 0;
}

static void release(struct mutex *m)
{
    uint32_t held = 1;
    store_relaxed(&m->owner, 0);
    if (m->kind & MUTEX_SHARED) {
        m->users = 0;
        if (atomic_exchange_explicit(&m->lock, 0, memory_order_release) > 1)
            shared_wake(&m->lock, 1);
        return;
    }
    if (cas_release(&m->lock, &held, 0))
        return;
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_bucket(m);
    struct wake_list woken = { 0 };
    waitq_lock(self, b);
    struct waiter *x = waitq_first(b, m);
    if (!x || x->tag != TAG_HAND_OVER)
        store_release(&m->lock, 0); /* the last touch; partner: the next locker's acquire */
    if (x) {
        waitq_take(b, x);
        wake_list_add(&woken, x);
    }
    waitq_unlock_and_wake(self, b, &woken);
}

int mutex_unlock_slow(struct mutex *m)
{
    if (m->kind & MUTEX_ROBUST)
        return robust_unlock(m);
    if (m->kind & MUTEX_PROTECT)
        return ceiling_unlock(m);
    if (m->kind & MUTEX_INHERIT)
        return inherit_unlock(m);
    int type = m->kind & MUTEX_TYPE;
    if (type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK) {
        if (!owned(m, fiber_current()) || !load_relaxed(&m->lock))
            return -EPERM;
        if (type == PTHREAD_MUTEX_RECURSIVE && --m->count)
            return 0;
    }
    release(m);
    return 0;
}
