/* What tests of parking share: a runtime in the test's own process, and a wait object that is as simple as
 * one can be. */
#ifndef UNIT_SCHED_BOX_H
#define UNIT_SCHED_BOX_H

#include "test/unit/common.h"
#include <errno.h>

#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "sched/sched.h"
#include "sync/waitq.h"
#include "thread/thread.h"

static inline long write_log(int fd, const void *buf, unsigned long n)
{
    return sys_call(SYS_write, fd, buf, n);
}

static inline void activate(int procs, int poller)
{
    log_write = write_log;
    options.procs = procs;
    options.poller = poller;
    runtime_init();
    runtime_activate();
    cr_assert_eq(runtime_mode, RUNTIME_ACTIVE);
}

/* Holds tokens, and at most one fiber that waits for one. */

struct box {
    struct lock lock;
    struct fiber *waiter;
    bool expired;
    int tokens;
    _Atomic int taking; /* whether its owner runs: 0 or 1 */
} __attribute__((aligned(64)));

static _Atomic uint64_t parks, readies, expiries;

static inline void box_expire(struct worker *w, void *arg)
{
    struct box *b = arg;

    lock_acquire(&b->lock);
    if (b->waiter) {
        struct fiber *f = b->waiter;

        b->waiter = NULL;
        b->expired = true;
        add_relaxed(&expiries, 1);
        sched_deliver(w ? w->proc : NULL, f);
    }
    lock_release(&b->lock);
}

/* Only the box's owner takes. 0, -ETIMEDOUT or -EINTR. */
static inline int take(struct box *b, uint64_t deadline, bool interruptible)
{
    struct fiber *self = fiber_current();
    bool early = false;

    runtime_enter(self);
    lock_acquire(&b->lock);
    if (b->tokens) {
        b->tokens--;
        lock_release(&b->lock);
        runtime_leave(self);
        return 0;
    }
    b->waiter = self;
    b->expired = false;
    /* From here on a second return from the park would find somebody running. */
    check(atomic_exchange(&b->taking, 0) == 1);
    if (interruptible)
        early = fiber_park_interruptible(self, PARK_SEM, b, sched_release_lock, b, deadline,
                                         box_expire);
    else if (deadline != TIMER_NEVER)
        fiber_park_until(self, PARK_SEM, b, sched_release_lock, b, deadline, box_expire);
    else
        fiber_park(self, PARK_SEM, b, sched_release_lock, b);
    check(atomic_exchange(&b->taking, 1) == 0);
    check(fiber_self == self);
    add_relaxed(&parks, 1);
    runtime_leave(self);
    return !b->expired ? 0 : early ? -EINTR : -ETIMEDOUT;
}

static inline void give(struct box *b)
{
    struct fiber *self = fiber_current();
    struct worker *w = runtime_enter(self);
    struct fiber *f;

    lock_acquire(&b->lock);
    f = b->waiter;
    b->waiter = NULL;
    if (!f)
        b->tokens++;
    lock_release(&b->lock);
    if (f) {
        add_relaxed(&readies, 1);
        fiber_ready(w, f);
    }
    runtime_leave(self);
}

static inline void assert_counts(void)
{
    assert_checks();
    cr_assert_eq(load_relaxed(&parks), load_relaxed(&readies) + load_relaxed(&expiries),
                 "%lu parks returned, %lu made ready, %lu expired", load_relaxed(&parks),
                 load_relaxed(&readies), load_relaxed(&expiries));
}

static inline pthread_t create(void *(*start)(void *), void *arg)
{
    pthread_t thread;
    int err = thread_create(&thread, NULL, start, arg, false);

    cr_assert_eq(err, 0, "thread_create: %d", err);
    return thread;
}

static inline void join(pthread_t thread, void *expected)
{
    void *result = NULL;

    cr_assert_eq(thread_join(thread, &result, TIMER_NEVER), 0);
    cr_assert_eq(result, expected);
}

static inline bool parked_in(struct box *b)
{
    bool parked;

    lock_acquire(&b->lock);
    parked = b->waiter != NULL;
    lock_release(&b->lock);
    return parked;
}

#define wait_as_fiber_until(condition)                                                             \
    do {                                                                                           \
        while (!(condition))                                                                       \
            fiber_yield(fiber_current());                                                          \
    } while (0)

#endif
