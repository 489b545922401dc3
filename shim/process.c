/* fork: the child has one thread, the caller, and a dormant runtime.
 *
 * The other threads' fibers, workers and rings do not exist in the child; what they held of ours is
 * forgotten before the child runs any of the program's code after fork. libc's own fork runs the
 * pthread_atfork handlers, on the fiber's stack and TLS, where they may use every pthread object:
 * those handlers run before our reset, so it happens in a handler of ours that is registered first
 * and therefore runs first in the child. vfork is in lib/arch: its child borrows this memory. */
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
