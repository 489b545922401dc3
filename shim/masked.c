/* Waiting with a signal mask of the call's own: ppoll, pselect, epoll_pwait.
 *
 * The fiber parks as in the same call without a mask; handlers wait until the wait has not been answered
 * otherwise (lib/signal/temporary.c). The order is the kernel's: what is ready wins over a signal, a signal
 * over the time. Called on the program's stacks, outside the runtime. */
#include "shim/calls.h"

/* What is left until deadline; NULL: for ever. */
static struct timespec *time_left(uint64_t deadline, struct timespec *ts)
{
    if (deadline == TIMER_NEVER)
        return NULL;
    uint64_t now = timer_now(), left = deadline > now ? deadline - now : 0;
    *ts = (struct timespec){ (time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC) };
    return ts;
}

/* What the pollers cannot wait for. Interruptions that run no handler are none of the program's business. */
static long in_kernel(struct fiber *self, const struct masked_call *c, void *arg,
                      struct temporary *t, uint64_t deadline)
{
    struct timespec ts;
    long r = -EINTR;
    handoff_block_enter(self);
    while (temporary_in_kernel(self, t)) {
        r = c->kernel(self, arg, time_left(deadline, &ts), &t->during);
        if (temporary_from_kernel(self, t) || r != -EINTR || cancel_during(self))
            break;
        if (load_relaxed(&self->attention) & ATTENTION_MOVE) {
            handoff_block_leave(self);
            sched_move(self);
            handoff_block_enter(self);
        }
    }
    handoff_block_leave(self);
    return r;
}

long masked_wait(struct fiber *self, const struct masked_call *c, void *arg, uint64_t mask,
                 int64_t ns)
{
    struct temporary t;
    uint64_t deadline = ns < 0 ? TIMER_NEVER : timer_now() + (uint64_t)ns;
    bool over = ns == 0;
    long r;
    do
        r = c->look(self, arg);
    while (r == -EINTR); /* a handler that ran under the old mask came before the call */
    if (r)
        return r;
    temporary_begin(self, mask, &t);
    for (;;) {
        if (!(over && c->timeout_first) && temporary_deliver(self, &t)) {
            r = -EINTR;
            break;
        }
        if (over)
            break;
        if (cancel_during(self)) {
            r = -EINTR;
            break;
        }
        /* To a kernel thread of its own, to which signals are sent that no other gets. */
        if (unlikely(load_relaxed(&self->attention) & ATTENTION_MOVE))
            sched_move(self);
        long waited = -EOPNOTSUPP;
        if (likely(!(load_relaxed(&self->flags) & FIBER_DIRECT)))
            waited = c->wait(self, arg, deadline);
        if (waited == -EOPNOTSUPP) {
            r = in_kernel(self, c, arg, &t, deadline);
            break;
        }
        over = waited == -ETIME;
        if ((r = c->look(self, arg)))
            break;
        if (waited < 0 && waited != -EINTR && !over) {
            r = waited;
            break;
        }
    }
    temporary_end(self, &t);
    if (r == -EINTR)
        cancel_point(self);
    return r;
}
