/* Read-write locks.
 *
 * state: number of readers, RW_WRITER while a writer holds it, RW_WAITERS while somebody may be
 * queued. Without RW_WAITERS, locking and unlocking are one compare-and-swap. With it, unlocking
 * happens under the bucket's lock and hands the lock over: ownership is entered into state before
 * the waiter is taken off the queue. So the object is not touched by an unlocker after somebody
 * else could have got it, and may be freed by the next owner.
 *
 * Preference is the kind that the program chose, as in glibc: by default readers come before waiting
 * writers; PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP holds new readers back while a writer waits.
 * Relocking by the writer answers EDEADLK. */
#include "sync/sync.h"

#include <errno.h>

#define RW_WRITER  0x80000000u
#define RW_WAITERS 0x40000000u
#define RW_READERS 0x3fffffffu
#define TAG_READ   0u
#define TAG_WRITE  1u

static bool writers_first(const struct rwlock *l)
{
    return l->kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
}

/* Whether a lock of this kind could be had in this state by somebody who is not queued. */
static bool can_read(struct rwlock *l, uint32_t state)
{
    return !(state & RW_WRITER) && !(writers_first(l) && load_relaxed(&l->writers_waiting));
}

int rwlock_try_read(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state);
    while (can_read(l, s)) {
        if ((s & RW_READERS) == RW_READERS)
            return -EAGAIN;
        if (cas_acquire(&l->state, &s, s + 1)) /* partner: the releases below */
            return 0;
    }
    return -EBUSY;
}

int rwlock_try_write(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state);
    while (!(s & ~RW_WAITERS)) {
        if (cas_acquire(&l->state, &s, s | RW_WRITER)) {
            store_relaxed(&l->owner, fiber_current()->tid);
            return 0;
        }
    }
    return -EBUSY;
}

/* Under the bucket's lock: hands the lock to whoever may have it now. */
static void grant(struct rwlock *l, struct bucket *b, struct wake_list *woken)
{
    uint32_t s;
    for (int pass = 0; pass < 2; pass++) {
        if (pass && writers_first(l) && load_relaxed(&l->writers_waiting))
            break;
        uint32_t want = (pass == 0) == writers_first(l) ? TAG_WRITE : TAG_READ;
        for (struct list *node = b->waiters.next, *next; node != &b->waiters; node = next) {
            struct waiter *x = container_of(node, struct waiter, node);
            next = node->next;
            if (x->key != l || x->tag != want)
                continue;
            s = load_relaxed(&l->state);
            uint32_t busy = want == TAG_WRITE ? s & ~RW_WAITERS : s & RW_WRITER;
            /* A reader or writer outside the queue may be faster: then this one waits on. */
            while (!busy && !cas_acquire(&l->state, &s, want == TAG_WRITE ? s | RW_WRITER : s + 1))
                busy = want == TAG_WRITE ? s & ~RW_WAITERS : s & RW_WRITER;
            if (busy)
                break;
            if (want == TAG_WRITE)
                store_relaxed(&l->owner, x->fiber->tid);
            waitq_take(b, x);
            wake_list_add(woken, x);
        }
    }
    if (!waitq_first(b, l))
        atomic_fetch_and_explicit(&l->state, ~RW_WAITERS, memory_order_relaxed);
}

static int lock_slow(struct rwlock *l, uint32_t tag, uint64_t deadline)
{
    struct fiber *self = fiber_current();
    if ((load_relaxed(&l->state) & RW_WRITER) && load_relaxed(&l->owner) == self->tid)
        return -EDEADLK;
    struct bucket *b = waitq_enter(self, l);
    /* From here on every unlocker comes through the bucket's lock. */
    atomic_fetch_or_explicit(&l->state, RW_WAITERS, memory_order_acq_rel);
    int err = tag == TAG_WRITE ? rwlock_try_write(l) : rwlock_try_read(l);
    if (err != -EBUSY) {
        if (!waitq_first(b, l))
            atomic_fetch_and_explicit(&l->state, ~RW_WAITERS, memory_order_relaxed);
        waitq_leave(self, b);
        return err;
    }
    struct waiter x = { .bits = WAITQ_ANY, .tag = tag };
    if (tag == TAG_WRITE) {
        add_relaxed(&l->writers_waiting, 1);
        x.counter = &l->writers_waiting;
    }
    err = waitq_park(self, b, &x, l, false, deadline, PARK_RWLOCK);
    if (err) {
        /* Readers may have been held back by the writer that gave up. */
        struct wake_list woken = { 0 };
        waitq_lock(self, b);
        grant(l, b, &woken);
        waitq_unlock_and_wake(self, b, &woken);
    }
    return err;
}

int rwlock_read(struct rwlock *l, uint64_t deadline)
{
    int err = rwlock_try_read(l);
    if (err != -EBUSY)
        return err;
    while ((err = lock_slow(l, TAG_READ, deadline)) == -EINTR)
        sched_wait_interrupted(fiber_current());
    return err;
}

int rwlock_write(struct rwlock *l, uint64_t deadline)
{
    int err = rwlock_try_write(l);
    if (err != -EBUSY)
        return err;
    while ((err = lock_slow(l, TAG_WRITE, deadline)) == -EINTR)
        sched_wait_interrupted(fiber_current());
    return err;
}

int rwlock_unlock(struct rwlock *l)
{
    uint32_t s = load_relaxed(&l->state);
    if (s & RW_WRITER)
        store_relaxed(&l->owner, 0);
    while (!(s & RW_WAITERS)) {
        uint32_t after = s & RW_WRITER ? 0 : s - 1;
        if (cas_release(&l->state, &s, after)) /* partner: the acquires above */
            return 0;
    }
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_bucket(l);
    struct wake_list woken = { 0 };
    waitq_lock(self, b);
    /* The mark may be gone (the only waiter's deadline passed). Set, it makes whoever gets the lock
     * from here on unlock through the bucket too, so the object outlives this section. */
    s = atomic_fetch_or_explicit(&l->state, RW_WAITERS, memory_order_relaxed);
    if (s & RW_WRITER)
        atomic_fetch_and_explicit(&l->state, ~RW_WRITER, memory_order_release);
    else
        s = atomic_fetch_sub_explicit(&l->state, 1, memory_order_release);
    grant(l, b, &woken); /* clears the mark last if nobody is left */
    waitq_unlock_and_wake(self, b, &woken);
    return 0;
}
