/* Cancellation (pthread_cancel(3), pthreads(7)).
 *
 * The state is libc's: the flags in the TCB that pthread_setcancelstate, pthread_setcanceltype and
 * pthread_testcancel work on, and libc's own unwinding, which ends in the frame at the bottom of the
 * fiber (create.c). Ours is to make a waiting fiber look: ATTENTION_CANCEL ends its park, or the next
 * one before it begins, and the call that waited comes to cancel_point. The attention stays until a
 * cancellation point has looked, so nothing that leaves the runtime in between can lose it; it is
 * dropped there when cancellation is disabled, and set again when it is enabled.
 *
 * A wait that was answered before the interruption wins: nothing that was transferred is lost.
 * A fiber in a system call that blocks its kernel thread is interrupted by a signal: libc's own calls
 * make the type asynchronous for their time and unwind from there, ours (fiber_call, handoff.h) are
 * called off if nothing was done yet. With the asynchronous type a fiber that computes unwinds from
 * wherever the signal finds the program's code; if it finds ours, the monitor sends it again.
 *
 * Threads that are libc's: cancel_kernel.c. Called on the program's stacks, outside the runtime, with no
 * lock of ours. */
#include <errno.h>
#include <signal.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "libc/tcb.h"
#include "sched/sched.h"
#include "thread/internal.h"

#define DECISIVE (CANCEL_DISABLED | CANCELED | EXITING | TERMINATED)

static _Atomic uint32_t *flags_of(struct fiber *f)
{
    return (_Atomic uint32_t *)(f->tp + tcb_cancelhandling());
}

bool cancel_pending(struct fiber *self)
{
    return (load_relaxed(flags_of(self)) & DECISIVE) == CANCELED && !self->no_cancel;
}

void cancel_point(struct fiber *self)
{
    if (!self)
        self = fiber_self;
    if (!self || load_relaxed(&self->flags) & FIBER_VFORK)
        return;
    if (load_relaxed(&self->attention) & ATTENTION_CANCEL)
        atomic_fetch_and_explicit(&self->attention, ~ATTENTION_CANCEL, memory_order_relaxed);
    if (load_relaxed(&self->flags) & FIBER_KERNEL || cancel_pending(self))
        pthread_testcancel(); /* does not return if it is */
}

bool cancel_inner_begin(struct fiber *self)
{
    bool outer = self->no_cancel;
    self->no_cancel = !(load_relaxed(flags_of(self)) & CANCEL_ASYNC);
    return outer;
}

void cancel_inner_end(struct fiber *self, bool outer)
{
    self->no_cancel = outer;
}

void cancel_enabled(struct fiber *self)
{
    if (cancel_pending(self))
        atomic_fetch_or_explicit(&self->attention, ATTENTION_CANCEL, memory_order_relaxed);
}

static bool cancel_anywhere(struct fiber *self)
{
    return tcb_cancelled_anywhere(self->tp);
}

static void cancel_arrived(struct fiber *self, void *context)
{
    if ((cancel_pending(self) && arch_leave_syscall(context)) || !cancel_anywhere(self))
        return;
    if (!sched_signal_ops.may_interrupt(context)) {
        monitor_look_again(self->worker);
        return;
    }
    /* The handler's frame is left for good: its mask must not stay. */
    bool direct = load_relaxed(&self->flags) & FIBER_DIRECT;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK,
             direct ? (void *)&((ucontext_t *)context)->uc_sigmask : (void *)&self->sigmask, NULL,
             8);
    pthread_testcancel();
}

void cancel_init(void)
{
    sched_cancel_ops.arrived = cancel_arrived;
    sched_cancel_ops.anywhere = cancel_anywhere;
    cancel_kernel_init();
}

/* In a call of libc's a bound fiber is interrupted as libc would do it (the type is asynchronous
 * meanwhile), in one of ours as any fiber is. */
static int cancel_bound(struct fiber *f)
{
    struct fiber *self = fiber_current();
    _Atomic uint32_t *flags = flags_of(f);
    atomic_fetch_or_explicit(flags, CANCELED, memory_order_seq_cst);
    if (f == self) {
        if (cancel_anywhere(f))
            pthread_testcancel();
        return 0;
    }
    struct worker *w = runtime_enter(self);
    atomic_fetch_or_explicit(&f->attention, ATTENTION_CANCEL, memory_order_seq_cst);
    sched_barrier();
    fiber_interrupt(w, f);
    lock_acquire(&f->lock);
    if (!f->ended && (cancel_anywhere(f) || load_relaxed(&f->in_syscall))) {
        sys_call(SYS_tgkill, sys_call(SYS_getpid), load_relaxed(&f->carrier)->ktid, RESCUE_SIGNAL);
        monitor_kick(); /* repeats it if it finds our code */
    }
    lock_release(&f->lock);
    runtime_leave(self);
    return 0;
}

int thread_cancel(pthread_t thread)
{
    struct fiber *f = fiber_of(thread), *self = fiber_current();
    if (!f || (load_relaxed(&f->flags) & (FIBER_KERNEL | FIBER_BOUND)) == FIBER_KERNEL)
        return -ENOTSUP;
    if (load_relaxed(&f->flags) & FIBER_BOUND)
        return f->ended ? 0 : cancel_bound(f);
    if (load_relaxed(&f->state) == FIBER_ENDED || f->ended)
        return 0;
    uint32_t before = atomic_fetch_or_explicit(flags_of(f), CANCELED, memory_order_seq_cst);
    atomic_fetch_or_explicit(&f->attention, ATTENTION_CANCEL, memory_order_seq_cst);
    if (f == self) {
        if ((before & (CANCEL_DISABLED | CANCEL_ASYNC)) == CANCEL_ASYNC)
            pthread_testcancel();
        return 0;
    }
    /* As in proc_retake: we stored, all CPUs pass a barrier, we look; it stores its park, and looks. */
    struct worker *w = runtime_enter(self);
    sched_barrier();
    /* In a blocking call libc makes the type asynchronous itself, or we look when it returns. */
    uint32_t now = load_relaxed(flags_of(f));
    if (!fiber_interrupt(w, f) && (now & DECISIVE) == CANCELED &&
        (now & CANCEL_ASYNC || load_relaxed(&f->in_syscall)))
        sched_cancel_running(f);
    runtime_leave(self);
    return 0;
}
