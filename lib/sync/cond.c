/* Condition variables.
 *
 * Invariants: c->waiters is the number of threads queued on c, or absent while they handle a signal,
 * and changes under the bucket's lock, so a signaller that reads 0 after changing the predicate under the mutex has nobody to wake.
 * Nothing of *c is touched after its last waiter was taken off the queue: it may be destroyed right
 * after a broadcast.
 *
 * A waiter queues itself, unlocks the mutex, and only then parks. A signal in between finds it
 * queued but not parked: the signaller marks it and leaves, and the waiter sees the mark when it
 * takes the bucket's lock again to park. (Unlocking under the bucket's lock could need the same
 * bucket for the mutex.)
 *
 * A signal's handlers run without the mutex, and the wait goes on after them (waitq.h, ABSENT). If they
 * leave by longjmp or the thread ends there, c->waiters stays too high until the next wake-up, which
 * costs that one a look at the queue. */
#include "sync/sync.h"

#include <errno.h>

#define TAG_PARKED 1u

int cond_wait(struct cond *c, struct mutex *m, uint64_t deadline)
{
    struct fiber *self = fiber_current();
    struct waiter x = {
        .bits = WAITQ_ANY, .key = c, .fiber = self, .counter = &c->waiters, .returns = true
    };
    struct bucket *b = waitq_enter(self, c);
    store_relaxed(&x.bucket, b);
    add_relaxed(&c->waiters, 1);
    list_push_back(&b->waiters, &x.node);
    lock_release(&b->lock);
    runtime_leave(self);

    /* pthread_mutex_destroy looks at this: somebody will lock the mutex again. */
    bool counted = !(m->kind & (MUTEX_SHARED | MUTEX_ROBUST)) &&
                   load_relaxed(&m->owner) == self->tid;
    if (counted)
        m->users++; /* the mutex is held, here and below */
    uint32_t count = m->count;
    bool recursive = (m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_RECURSIVE;
    if (recursive)
        m->count = 1; /* given up altogether, whatever the depth */
    int err = mutex_unlock(m);
    waitq_lock(self, b);
    if (err && x.result == WAITER_QUEUED)
        waitq_take(b, &x);
    if (x.result != WAITER_QUEUED) {
        lock_release(&b->lock);
        runtime_leave(self);
        if (err) {
            if (recursive)
                m->count = count;
            return err; /* not the owner, so not counted */
        }
    } else {
        x.tag = TAG_PARKED;
        while ((err = waitq_park_queued(self, b, &x, deadline, PARK_COND)) == -EINTR) {
            waitq_lock(self, b);
            bool waiting = waitq_back(b, &x);
            if (!waiting || (load_relaxed(&self->attention) & ATTENTION_CANCEL)) {
                if (waiting)
                    atomic_fetch_sub_explicit(&c->waiters, 1, memory_order_relaxed);
                lock_release(&b->lock);
                runtime_leave(self);
                err = waiting ? -EINTR : 0;
                break;
            }
            x.result = WAITER_QUEUED;
            list_push_front(&b->waiters, &x.node);
            add_relaxed(&b->count, 1);
        }
    }
    int lock_err = mutex_lock(m);
    if (lock_err && lock_err != -EOWNERDEAD)
        return lock_err;
    if (counted)
        m->users--;
    if (recursive)
        m->count = count;
    return lock_err ? lock_err : err;
}

int cond_wake(struct cond *c, int n)
{
    /* Relaxed: ordered by the mutex under which the predicate changed. */
    if (!load_relaxed(&c->waiters))
        return 0;
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_bucket(c);
    struct wake_list woken = { 0 };
    waitq_lock(self, b);
    for (struct list *node = b->waiters.next, *next; node != &b->waiters && n > 0; node = next) {
        struct waiter *x = container_of(node, struct waiter, node);
        next = node->next;
        if (x->key != c)
            continue;
        bool parked = x->tag == TAG_PARKED;
        waitq_take(b, x);
        if (parked)
            wake_list_add(&woken, x);
        n--;
    }
    if (n > 0 && b->absent) {
        b->absent = 0;
        b->round++;
        store_relaxed(&c->waiters, 0); /* nobody is queued on it any more */
    }
    waitq_unlock_and_wake(self, b, &woken);
    return 0;
}
