/* A signal mask for the time of one call: sigsuspend, ppoll, pselect, epoll_pwait.
 *
 * The kernel sets the mask and waits in one step, and puts the old one back. A fiber that parks does it in
 * several, with handlers held off in between (struct temporary, hold): whatever arrives meanwhile becomes a
 * note, which ends the park, or the next one before it begins. Only when the wait has not been answered
 * otherwise do the handlers run, under the call's mask, and then the call answers EINTR. So a call that finds
 * what it waited for leaves the signal pending, as the kernel does, and nobody sees a handler without EINTR.
 *
 * The first handler ends the temporary mask (run_here in deliver.c): its frame gets the old one, so that its
 * return, or a siglongjmp out of it, has the mask that the kernel would leave. What else the call's mask lets
 * through runs on top of it.
 *
 * While it holds, the kernel thread's mask is nobody's business, since everything that comes is noted; a
 * signal for the process that only this fiber takes reaches idle workers, which know what everyone blocks,
 * or the monitor (signal_sweep).
 *
 * Called on the fiber's stack, outside the runtime; signal_sweep on the monitor. */
#include <signal.h>
#include <time.h>
#include "arch/syscall.h"
#include "signal/everyone.h"
#include "signal/route.h"
#include "signal/signal.h"

static void kernel_mask(struct fiber *self, uint64_t mask)
{
    self->worker->sigmask = mask;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

void temporary_begin(struct fiber *self, uint64_t mask, struct temporary *t)
{
    uint64_t pending = 0;
    t->before = signal_mask(self);
    /* libc's own two are not the program's to block, nor the kernel's */
    t->during = mask &
                ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(32) | SIGNAL_BIT(33));
    t->hold = true;
    self->temporary = t;
    fence_compiler(); /* against signal handlers: held first */
    self->sigmask = t->during;
    if (t->before & ~t->during)
        sys_call(SYS_rt_sigpending, &pending, 8);
    t->kernel = pending & ~t->during;
    /* Taken before idle workers may: a signal on its way from one is nowhere to be seen, and the call may not wait. */
    if (t->kernel)
        kernel_mask(self, t->during);
    everyone_unblocked(t->during);
}

/* Whether there is something to deliver. What comes after this ends the next park. */
static bool came(struct fiber *self, struct temporary *t)
{
    if (unlikely(load_relaxed(&self->worker->signals)) &&
        !(load_relaxed(&self->flags) & FIBER_DIRECT))
        worker_take_signals(self); /* its notes find their fibers, maybe this one */
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_SIGNAL, memory_order_seq_cst);
    return t->kernel || load_relaxed(&self->pending) & ~t->during;
}

bool temporary_deliver(struct fiber *self, struct temporary *t)
{
    if (!came(self, t))
        return false;
    t->kernel = false;
    t->hold = false;
    kernel_mask(self, t->during);
    if (self->temporary == t)
        signal_deliver(self);
    if (self->temporary != t)
        return true;
    t->hold = true; /* it was ignored, or is for another thread */
    return false;
}

bool temporary_in_kernel(struct fiber *self, struct temporary *t)
{
    for (;;) {
        kernel_mask(self, ~0ull);
        if (!came(self, t) || !(t->kernel || load_relaxed(&self->notes))) {
            t->hold = false; /* who sends one now kicks the kernel thread */
            return true;
        }
        if (temporary_deliver(self, t))
            return false;
    }
}

bool temporary_from_kernel(struct fiber *self, struct temporary *t)
{
    if (self->temporary != t)
        return true;
    t->hold = true;
    if (!(load_relaxed(&self->flags) & FIBER_DIRECT))
        sched_signal_ops.not_raised(
            self); /* everything is blocked here, and the fiber may go elsewhere */
    return false;
}

/* What came to this fiber for the process, and is blocked again, somebody else may take. */
static void hand_back(struct fiber *self, uint64_t blocked)
{
    uint64_t kept = 0;
    atomic_fetch_and_explicit(&self->pending, ~blocked, memory_order_relaxed);
    for (struct note *n = note_take_all(&self->notes), *next; n; n = next) {
        next = n->next;
        uint64_t bit = SIGNAL_BIT(n->info.si_signo);
        if (n->tid == self->tid && n->process && blocked & bit) {
            signal_forward(self->worker, n);
        } else {
            kept |= bit;
            note_push(&self->notes, n);
        }
    }
    atomic_fetch_or_explicit(&self->pending, kept, memory_order_relaxed);
}

void temporary_end(struct fiber *self, struct temporary *t)
{
    if (self->temporary != t) {
        /* A handler that ran on top of another frame of ours has left that one's mask to the kernel. */
        if (!(load_relaxed(&self->flags) & FIBER_DIRECT) && self->sigmask != self->worker->sigmask)
            worker_take_signals(self);
        if (t->before & ~t->during)
            everyone_blocked(); /* idle workers may still have the call's mask, and would take the next one */
        return;
    }
    uint64_t closed = t->before & ~t->during;
    if (unlikely(load_relaxed(&self->pending) & closed))
        hand_back(self, closed);
    self->temporary = NULL;
    signal_set_mask(self, t->before);
}

/* While every worker runs a fiber that blocks a signal, the kernel keeps it; a parked one that takes it would
 * wait for an idle worker. */
void signal_sweep(void)
{
    uint64_t set = 0, bit;
    struct timespec now = { 0, 0 };
    if (sys_call(SYS_rt_sigpending, &set, 8) < 0 || likely(!set))
        return;
    long pid = sys_call(SYS_getpid);
    set &= ~everyone_blocks(); /* it may say less than there is */
    for (; set; set &= ~bit) {
        int sig = __builtin_ctzll(set) + 1;
        siginfo_t info;
        bit = SIGNAL_BIT(sig);
        if (sig == 32 || sig == 33 || !signal_taken(bit))
            continue;
        /* Taken first: it may have been taken by another and the mask be another since it was seen. */
        if (sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) != sig)
            continue;
        if (signal_has_handler(sig)) {
            struct note *n = note_make(&info);
            if (n && signal_route(n)) {
                sched_wake_one();
                continue;
            }
            if (n)
                note_free(n);
        } else if (signal_taken(bit)) {
            /* The default action, or none: the kernel's to take. */
            sys_call(SYS_rt_tgsigqueueinfo, pid, monitor_ktid(), sig, &info);
            sys_call(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, NULL, 8);
            sys_call(SYS_rt_sigprocmask, SIG_BLOCK, &bit, NULL, 8);
            continue;
        }
        if (sys_call(SYS_rt_sigqueueinfo, pid, sig, &info))
            sys_call(SYS_kill, pid, sig);
    }
}
