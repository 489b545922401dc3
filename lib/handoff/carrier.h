/* Carriers: the kernel threads of bound fibers, one each.
 *
 * A carrier is a kernel thread of libc's without a ring, a proc or a place among the workers. It
 * waits until a fiber is given to it, runs that fiber until it ends, and ends with it: what was set
 * on it (affinity, priority, namespaces) dies with it. It is described by a struct worker, because a
 * fiber needs one; only tp, ktid, sched_sp and the post-switch action mean anything there. */
#ifndef HANDOFF_CARRIER_H
#define HANDOFF_CARRIER_H

#include "sched/sched.h"

/* A new carrier, waiting; NULL: no memory or threads. inherit: with the attributes of the calling
 * kernel thread, else made by the maker with those that the process gave its threads. On the program's
 * stacks, outside the runtime: waits for the maker, or takes libc's locks. */
struct worker *carrier_make(bool inherit);
/* Ends a carrier that has got no fiber. */
void carrier_dismiss(struct worker *c);
/* Gives it a fiber that was never started. */
void carrier_run(struct worker *c, struct fiber *f);
/* Moves the calling fiber to its carrier, if it has one. Outside the runtime. */
void carrier_move(struct fiber *self);
/* First thing on a carrier, on the fiber's stack: makes the kernel thread the fiber's own (signal
 * mask, alternate stack, pending signals, name, CPU time). */
void carrier_arrived(struct fiber *self);
/* Last switch of a bound fiber; post(w, self) runs on the carrier, which then ends. */
_Noreturn void carrier_leave(struct fiber *self, void (*post)(struct worker *, void *));
void carrier_init(void);
void carrier_after_fork(void);

#endif
