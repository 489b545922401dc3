/* Process-shared read-write locks: glibc's protocol (since 2.25), because the other process may run
 * without us.
 *
 * state: readers in units of 8; PHASE: it is the writers' turn; LOCKED: there is a primary writer, who
 * holds the lock in a write phase and waits for the readers in a read phase; AWAITED: readers wait for
 * the state itself to change. writers_waiting: writers that would take over from the primary one, and
 * the HAND_OVER token. phase_futex repeats the phase and is what a change of phase is awaited on;
 * writers_futex is 1 while there is a primary writer and is what the other writers wait on; USED in
 * either: somebody may wait.
 *
 * Who starts a phase sets phase_futex after it; so whoever finds the phase right must also wait for the
 * futex word, or the next owner would change it under the feet of the former: readers would then sleep in
 * a read phase, for ever.
 *
 * Called on the program's stacks, outside the runtime. */
#include "sync/sync.h"

#include <errno.h>
#include <limits.h>

#define PHASE     1u
#define LOCKED    2u
#define AWAITED   4u
#define READER    8u
#define OVERFLOW  0x80000000u
#define HAND_OVER 0x80000000u
#define USED      2u

static bool readers_first(const struct rwlock *l)
{
    return l->kind == PTHREAD_RWLOCK_PREFER_READER_NP;
}

static bool writer_is(struct rwlock *l, const struct fiber *self)
{
    return load_relaxed(&l->owner) == shared_owner() && l->fiber == self->tid;
}

static void own(struct rwlock *l)
{
    l->fiber = fiber_current()->tid;
    store_relaxed(&l->owner, shared_owner());
}

static void set_phase(struct rwlock *l, uint32_t phase)
{
    if (atomic_exchange_explicit(&l->phase_futex, phase, memory_order_acq_rel) & USED)
        shared_wake(&l->phase_futex, INT_MAX);
}

/* Waits until phase_futex and state show the phase (PHASE or 0). gave_up is asked when the deadline
 * passes: true: we do not want it any more. */
static int wait_for_phase(struct rwlock *l, uint32_t phase, uint64_t deadline,
                          bool (*gave_up)(struct rwlock *))
{
    for (bool sure = false;;) {
        uint32_t not_yet = phase ^ PHASE, f;
        while (((f = load_relaxed(&l->phase_futex)) & ~USED) == not_yet) {
            if (!(f & USED) && !cas_acquire(&l->phase_futex, &f, f | USED))
                continue;
            if (!shared_wait_on(&l->phase_futex, not_yet | USED, deadline, PARK_RWLOCK))
                continue;
            if (gave_up(l))
                return -ETIMEDOUT;
            /* The phase has come, its word is about to. */
            fence_seq();
            while ((load_relaxed(&l->phase_futex) & ~USED) == not_yet)
                fiber_yield(fiber_current());
            return 0;
        }
        if (sure)
            return 0;
        /* The word may still be that of the phase before the last: look at it once more. */
        sure = (load_acquire(&l->state) & PHASE) == phase;
        if (!sure)
            fiber_yield(fiber_current());
    }
}

/* ---- readers ---- */

static bool reader_gave_up(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state);
    while (s & PHASE)
        if (cas_seq(&l->state, &s, s - READER))
            return true;
    return false;
}

/* A reader behind a waiting writer, which this kind lets go first. */
static int let_writer_go(struct rwlock *l, uint64_t deadline)
{
    uint32_t s = load_relaxed(&l->state);
    while (!(s & PHASE) && s & LOCKED && s / READER) {
        if (!cas_seq(&l->state, &s, s | AWAITED))
            continue;
        while ((s = load_relaxed(&l->state)) & AWAITED)
            if (shared_wait_on(&l->state, s, deadline, PARK_RWLOCK))
                return -ETIMEDOUT;
    }
    return 0;
}

int shared_rwlock_read(struct rwlock *l, uint64_t deadline)
{
    if (writer_is(l, fiber_current()))
        return -EDEADLK;
    if (l->kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP && let_writer_go(l, deadline))
        return -ETIMEDOUT;
    uint32_t s = atomic_fetch_add_explicit(&l->state, READER, memory_order_acquire) + READER;
    while (s >= OVERFLOW)
        if (cas_seq(&l->state, &s, s - READER))
            return -EAGAIN;
    while (s & PHASE && !(s & LOCKED)) {
        if (cas_acquire(&l->state, &s, s ^ PHASE)) { /* partner: the writer's release */
            set_phase(l, 0);
            return 0;
        }
    }
    return s & PHASE ? wait_for_phase(l, 0, deadline, reader_gave_up) : 0;
}

int shared_rwlock_try_read(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state), next;
    do {
        if (s & LOCKED && (s & PHASE || l->kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
            return -EBUSY;
        next = (s + READER) & ~PHASE;
        if (next >= OVERFLOW)
            return -EAGAIN;
    } while (!cas_acquire(&l->state, &s, next));
    if (s & PHASE)
        set_phase(l, 0);
    return 0;
}

static void unlock_read(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state), next;
    do {
        next = s - READER;
        if (next < READER) {
            if (next & LOCKED)
                next |= PHASE;
            next &= ~AWAITED;
        }
    } while (!atomic_compare_exchange_weak_explicit(&l->state, &s, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (next & PHASE)
        set_phase(l, PHASE);
    if ((s ^ next) & AWAITED)
        shared_wake(&l->state, INT_MAX);
}

/* ---- writers ---- */

/* Passes the role of primary writer on to one that waits. */
static bool hand_over(struct rwlock *l)
{
    uint32_t w = load_relaxed(&l->writers_waiting);
    if (!readers_first(l))
        while (w)
            if (cas_release(&l->writers_waiting, &w, w | HAND_OVER)) /* partner: become_primary */
                return true;
    return false;
}

/* The primary writer does not wait for the readers any longer. It leaves the role free for whoever takes
 * it, and does not hand it over as libc's would: a writer of libc's that is handed the role looks at the
 * state only, and would take the lock before the last reader has set phase_futex. */
static bool writer_gave_up(struct rwlock *l)
{
    uint32_t used = atomic_exchange_explicit(&l->writers_futex, 0, memory_order_relaxed);
    uint32_t s = load_relaxed(&l->state);
    while (!(s & PHASE)) {
        if (!cas_release(&l->state, &s, (s ^ LOCKED) & ~AWAITED))
            continue;
        if (used & USED)
            shared_wake(&l->writers_futex, 1);
        if (s & AWAITED)
            shared_wake(&l->state, INT_MAX);
        return true;
    }
    store_relaxed(&l->writers_futex, used);
    return false;
}

/* Waits until no other writer is primary, and is it. *used: others may wait on writers_futex too. */
static int become_primary(struct rwlock *l, uint64_t deadline, uint32_t *used)
{
    uint32_t s = atomic_fetch_or_explicit(&l->state, LOCKED, memory_order_acquire);
    if (!(s & LOCKED))
        return 0;
    bool queue = !readers_first(l);
    if (queue)
        add_relaxed(&l->writers_waiting, 1);
    for (;; s = load_relaxed(&l->state)) {
        if (!(s & LOCKED)) {
            if (!cas_acquire(&l->state, &s, s | LOCKED))
                continue;
            if (queue)
                atomic_fetch_sub_explicit(&l->writers_waiting, 1, memory_order_relaxed);
            return 0;
        }
        uint32_t w = load_relaxed(&l->writers_waiting);
        if (queue && w & HAND_OVER) {
            if (cas_acquire(&l->writers_waiting, &w, w - HAND_OVER - 1)) /* partner: hand_over */
                return 0;
            continue;
        }
        uint32_t f = load_relaxed(&l->writers_futex);
        if ((f & ~USED) != 1 || (!(f & USED) && !cas_acquire(&l->writers_futex, &f, 1 | USED)))
            continue;
        *used = USED;
        if (!shared_wait_on(&l->writers_futex, 1 | USED, deadline, PARK_RWLOCK))
            continue;
        if (!queue)
            return -ETIMEDOUT;
        /* The last in the queue takes what was handed over, or nobody would. */
        w = load_relaxed(&l->writers_waiting);
        while (!cas_acquire(&l->writers_waiting, &w, w == HAND_OVER + 1 ? 0 : w - 1))
            ;
        return w == HAND_OVER + 1 ? 0 : -ETIMEDOUT;
    }
}

int shared_rwlock_write(struct rwlock *l, uint64_t deadline)
{
    if (writer_is(l, fiber_current()))
        return -EDEADLK;
    uint32_t used = 0;
    if (become_primary(l, deadline, &used))
        return -ETIMEDOUT;
    store_relaxed(&l->writers_futex, 1 | used);
    uint32_t s = load_acquire(&l->state);
    while (!(s & PHASE) && s < READER) {
        if (cas_acquire(&l->state, &s, s | PHASE)) {
            store_relaxed(&l->phase_futex, PHASE);
            own(l);
            return 0;
        }
    }
    /* A writers' phase that we did not start may be one that the last reader is just starting, for us or
     * for the writer before us, and its word is about to come. */
    if (wait_for_phase(l, PHASE, deadline, writer_gave_up))
        return -ETIMEDOUT;
    own(l);
    return 0;
}

int shared_rwlock_try_write(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state);
    while (!(s & LOCKED) && (s < READER || (!readers_first(l) && s & PHASE))) {
        if (!cas_acquire(&l->state, &s, s | PHASE | LOCKED))
            continue;
        store_relaxed(&l->writers_futex, 1);
        if (!(s & PHASE))
            store_relaxed(&l->phase_futex, PHASE);
        own(l);
        return 0;
    }
    return -EBUSY;
}

static void unlock_write(struct rwlock *l)
{
    l->fiber = 0;
    store_relaxed(&l->owner, 0);
    uint32_t used = atomic_exchange_explicit(&l->writers_futex, 0, memory_order_relaxed);
    if (!hand_over(l)) {
        uint32_t s = load_relaxed(&l->state);
        while (!cas_release(&l->state, &s, s ^ LOCKED ^ (s / READER ? PHASE : 0)))
            ;
        if (s / READER)
            set_phase(l, 0);
    }
    if (used & USED)
        shared_wake(&l->writers_futex, 1);
}

int shared_rwlock_unlock(struct rwlock *l)
{
    if (writer_is(l, fiber_current()))
        unlock_write(l);
    else
        unlock_read(l);
    return 0;
}
