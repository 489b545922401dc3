/* fork: the child has one thread, the caller, and a dormant runtime.
 *
 * The other threads' fibers, workers and rings do not exist in the child; what they held of ours is
 * forgotten before the child runs any of the program's code. That happens in a pthread_atfork handler
 * of ours: the constructor registers it before the program can register any, and children's handlers
 * run in the order of registration. vfork is in lib/arch: its child borrows this memory. */
#include "shim/calls.h"

#include "poller/poller.h"

EXPORT pid_t fork(void)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(fork)();
    fd_unshare(-1);
    handoff_enter(self);
    pid_t pid = REAL(fork)();
    if (pid != 0)
        handoff_leave(self);
    return pid;
}

/* No atfork handlers, which is why signal handlers may call it; and so may the child call nothing but what
 * those may: all of it goes to libc, as our parent's workers and rings are not there. */
EXPORT pid_t _Fork(void)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(_Fork)();
    handoff_enter(self);
    pid_t pid = REAL(_Fork)();
    if (pid == 0)
        atomic_fetch_or_explicit(&self->flags, FIBER_VFORK, memory_order_relaxed);
    else
        handoff_leave(self);
    return pid;
}

/* Called by the vfork stub before and, in the parent, after the child has gone its way. */
void vfork_enter(void);
long vfork_leave(long result);

void vfork_enter(void)
{
    struct fiber *self = fiber_here();
    if (!self)
        return;
    fd_unshare(-1);
    handoff_enter(self);
    atomic_fetch_or_explicit(&self->flags, FIBER_VFORK, memory_order_relaxed);
}

long vfork_leave(long result)
{
    struct fiber *self = fiber_self;
    if (self && load_relaxed(&self->flags) & FIBER_VFORK) {
        atomic_fetch_and_explicit(&self->flags, ~FIBER_VFORK, memory_order_relaxed);
        handoff_leave(self);
    }
    return set_errno(result);
}
