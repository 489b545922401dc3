/* System calls that may block the worker: the fiber says so, and the monitor passes the proc on if
 * the call lasts. Nothing is done in the common, short case but two stores. */
#ifndef HANDOFF_HANDOFF_H
#define HANDOFF_HANDOFF_H

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

/* The same around a call that is known to block long, or that must not be interrupted by a rescue
 * (sched/monitor.c): when requests are in flight on the worker's ring, the fiber moves to a kernel
 * thread without a ring for the call. May park. */
void handoff_block_enter(struct fiber *self);
static inline void handoff_block_leave(struct fiber *self)
{
    handoff_leave(self);
}

void handoff_after_fork(void);

#endif
