/* Ending, joining and detaching.
 *
 * Invariants: a fiber's lock protects ended, detached and joiner. The ending fiber holds it across
 * its last switch; it is released by the next context, so whoever then finds `ended` may reuse the
 * stack. Exactly one party frees the fiber: the next context if it is detached, else its joiner, or
 * the detacher of an ended one. The main fiber is never freed.
 *
 * Called on the program's stacks; finish_* on the next context's. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "arch/syscall.h"
#include "handoff/carrier.h"
#include "sched/sched.h"
#include "sync/sync.h"
#include "thread/internal.h"

static _Atomic int alive = 1;

int thread_count(int n)
{
    return atomic_fetch_add_explicit(&alive, n, memory_order_acq_rel) + n;
}

static void finish_detached(struct worker *w, void *arg)
{
    struct fiber *f = arg;
    (void)w;
    store_relaxed(&f->state, FIBER_ENDED);
    lock_release(&f->lock);
    if (!(load_relaxed(&f->flags) & FIBER_MAIN))
        fiber_free(f);
}

static void finish_joinable(struct worker *w, void *arg)
{
    struct fiber *f = arg, *joiner = f->joiner;
    store_relaxed(&f->state, FIBER_ENDED);
    f->joiner = NULL;
    lock_release(&f->lock); /* from here on f may be gone */
    if (joiner)
        fiber_ready(w, joiner);
}

_Noreturn void thread_finish(struct fiber *self)
{
    if (unlikely(self->robust))
        robust_end(self);
    if (unlikely(self->ceilings))
        ceiling_end(self);
    if (thread_count(-1) == 0)
        exit(0);
    struct fiber *first = sched_main_fiber;
    uint32_t kind = load_relaxed(&self->flags);
    /* Nobody else may take the signals that it took. It may move to its carrier here. */
    if ((!(kind & FIBER_DIRECT) || kind & FIBER_BOUND) &&
        unlikely(!first || first == self || (first->sigmask & ~self->sigmask)))
        sched_signal_ops.ended(self);
    if (load_relaxed(&self->flags) & FIBER_BOUND) {
        /* No handler may run between its stack and the carrier's. */
        uint64_t all = ~0ull;
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
        lock_acquire(&self->lock);
        self->ended = true;
        account_stop(self);
        carrier_leave(self, self->detached ? finish_detached : finish_joinable);
    }
    if (load_relaxed(&self->flags) & FIBER_DIRECT) {
        /* The main thread of a process whose fibers run elsewhere: keep the kernel thread. */
        lock_acquire(&self->lock);
        self->ended = true;
        finish_joinable(NULL, self);
        for (;;)
            sys_call(SYS_pause);
    }
    runtime_enter(self);
    lock_acquire(&self->lock);
    self->ended = true;
    if (unlikely(load_relaxed(&self->carrier)))
        carrier_dismiss(load_relaxed(&self->carrier)); /* it never got there */
    if (self->detached)
        fiber_switch_away(self, NULL, finish_detached, self);
    struct fiber *joiner = self->joiner;
    if (joiner && !(load_relaxed(&joiner->flags) & FIBER_DIRECT)) {
        /* Straight to the joiner: it is parked, and off its wait object now. */
        self->joiner = NULL;
        fiber_switch_away(self, joiner, finish_joinable, self);
    }
    fiber_switch_away(self, NULL, finish_joinable, self);
}

struct join_wait {
    struct fiber *target, *self;
    bool expired;
};

static void join_unlock(struct worker *w, void *arg)
{
    struct join_wait *j = arg;
    (void)w;
    lock_release(&j->target->lock);
}

static void join_expire(struct worker *w, void *arg)
{
    struct join_wait *j = arg;
    struct fiber *f = j->target;
    lock_acquire(&f->lock);
    bool mine = f->joiner == j->self;
    if (mine) {
        f->joiner = NULL;
        j->expired = true;
    }
    lock_release(&f->lock);
    if (mine)
        sched_deliver(w ? w->proc : NULL, j->self);
}

int thread_join(pthread_t thread, void **result, uint64_t deadline)
{
    struct fiber *f = fiber_of(thread), *self = fiber_current();
    if (!f || load_relaxed(&f->flags) & FIBER_FOREIGN)
        return -ENOTSUP;
    if (f == self)
        return deadline == 0 ? -EBUSY : -EDEADLK;
again:
    runtime_enter(self);
    lock_acquire(&f->lock);
    int err = 0;
    if (!f->ended && deadline == 0)
        err = -EBUSY; /* as libc, before anything that is wrong */
    else if (f->detached || f->joiner)
        err = -EINVAL;
    else if (!f->ended && self->joiner == f)
        err = -EDEADLK; /* it waits for us */
    if (err || f->ended) {
        lock_release(&f->lock);
    } else {
        struct join_wait j = { f, self, false };
        f->joiner = self;
        bool early = fiber_park_interruptible(self, PARK_JOIN, f, join_unlock, &j, deadline,
                                              join_expire);
        if (j.expired)
            err = early ? -EINTR : -ETIMEDOUT;
    }
    runtime_leave(self);
    if (err == -EINTR) {
        cancel_point(self);
        goto again; /* else signal handlers ran */
    }
    if (err)
        return err;
    if (result)
        *result = f->result;
    if (!(load_relaxed(&f->flags) & FIBER_MAIN))
        fiber_free(f);
    return 0;
}

int thread_detach(pthread_t thread)
{
    struct fiber *f = fiber_of(thread), *self = fiber_current();
    if (!f || load_relaxed(&f->flags) & FIBER_FOREIGN)
        return -ENOTSUP;
    runtime_enter(self);
    lock_acquire(&f->lock);
    bool already = f->detached, ended = f->ended;
    f->detached = true;
    lock_release(&f->lock);
    runtime_leave(self);
    if (already)
        return -EINVAL;
    if (ended && !(load_relaxed(&f->flags) & FIBER_MAIN))
        fiber_free(f);
    return 0;
}
