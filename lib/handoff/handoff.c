/* The way back from a blocking system call whose proc was passed on meanwhile.
 *
 * Called by fibers on their own stacks. Invariant: in_syscall is written by its fiber only; the
 * monitor reads it as a hint and takes the proc by the protocol in sched/proc.c. */
#include "handoff/handoff.h"

void handoff_wait_turn(struct fiber *self)
{
    runtime_enter(self);
    runtime_leave(self);
}
