/* System calls that may block the worker: the fiber says so, and the monitor passes the proc on if
 * the call lasts. Nothing is done in the common, short case but two stores. */
#ifndef HANDOFF_HANDOFF_H
#define HANDOFF_HANDOFF_H

#include "arch/syscall.h"
#include "sched/sched.h"

static inline void handoff_enter(struct fiber *self)
{
    store_relaxed(&self->in_syscall, load_relaxed(&self->in_syscall) + 1);
}

/* After the call. When the proc is gone, waits for a turn like any runnable fiber, so that no more
 * fibers run than there are procs. Preserves errno, which the fiber carries in its own TLS. */
void handoff_wait_turn(struct fiber *self);

static inline void handoff_leave(struct fiber *self)
{
    /* 0 in the child of a fork that happened inside the call. */
    uint32_t depth = load_relaxed(&self->in_syscall);
    store_relaxed(&self->in_syscall, depth ? depth - 1 : 0);
    if (!(load_relaxed(&self->flags) & FIBER_DIRECT) &&
        unlikely(load_relaxed(&self->worker->retake)))
        handoff_wait_turn(self);
}

/* Between the two, a call that cancellation may end: -EINTR if it was cancelled before it did
 * anything, or if a signal ended it as the kernel sees fit. */
static inline long fiber_call_array(struct fiber *self, const long args[7])
{
    self->handled = 0;
    return arch_syscall_unless(&self->attention, ATTENTION_CANCEL, args);
}
#define fiber_call(self, ...)                                                                      \
    fiber_call_array((self), (const long[7]){ FIBER_CALL_LONGS(__VA_ARGS__) })
/* The same for a call that is no cancellation point. Not sys_call: where a handler with SA_RESTART finds that,
 * about to be made again, nobody can tell whether our text has the worker in a register, and it would have to
 * wait. */
#define fiber_call_through(self, ...)                                                              \
    arch_syscall_unless(&(self)->attention, 0, (const long[7]){ FIBER_CALL_LONGS(__VA_ARGS__) })
#define FIBER_CALL_LONGS(...)                                                                      \
    sys_pick(__VA_ARGS__, longs_6, longs_5, longs_4, longs_3, longs_2, longs_1, )(__VA_ARGS__)
#define longs_1(n, a)                (n), (long)(a)
#define longs_2(n, a, b)             longs_1(n, a), (long)(b)
#define longs_3(n, a, b, c)          longs_2(n, a, b), (long)(c)
#define longs_4(n, a, b, c, d)       longs_3(n, a, b, c), (long)(d)
#define longs_5(n, a, b, c, d, e)    longs_4(n, a, b, c, d), (long)(e)
#define longs_6(n, a, b, c, d, e, f) longs_5(n, a, b, c, d, e), (long)(f)

/* The same around a call that is known to block long, or that must not be interrupted by a rescue
 * (sched/monitor.c): when requests are in flight on the worker's ring, the fiber moves to a kernel
 * thread without a ring for the call. May park. */
void handoff_block_enter(struct fiber *self);
/* The same, but it moves whatever the ring does: the kernel thread is the fiber's alone. */
void handoff_move_enter(struct fiber *self);
static inline void handoff_block_leave(struct fiber *self)
{
    handoff_leave(self);
}

void handoff_after_fork(void);

#endif
