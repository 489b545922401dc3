/* Cancellation of threads that are libc's: those of a process without fibers, and those that somebody else
 * made. libc cancels them itself; but their waits for our objects are ours, and so is the text in which its
 * signal may find them.
 *
 * Deferred: libc has set its flag, we leave the thread a note (ATTENTION_CANCEL) and end its wait, as for a
 * fiber. The order that makes this complete: libc stores the flag and looks whether the thread has a struct
 * fiber; the thread has made one and looks at the flag (cancel_point_kernel); after that it is as for fibers.
 *
 * Asynchronous: libc sends a signal, whose handler is ours. It unwinds where libc's own would, unless it
 * finds our text: there a waiter may be queued, or a lock held. Then a timer of the kernel's brings the
 * signal again, to this very thread; a thread that we have no monitor for is not watched by anybody else.
 *
 * The handler must be ours before libc sends anything, and libc installs its own in the first
 * pthread_cancel, right before it sends. So the first one of a process is spent on a thread made for it. */
#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "libc/tcb.h"
#include "sched/sched.h"
#include "sync/waitq.h"
#include "thread/internal.h"

#define AGAIN_AFTER (200 * NSEC_PER_USEC)

void cancel_point_kernel(void)
{
    struct fiber *self = fiber_self;
    if (self && load_relaxed(&self->flags) & FIBER_VFORK)
        return;
    cancel_point(fiber_current());
}

/* ---- the handler ---- */

static void again_later(const siginfo_t *info)
{
    int timer = info->si_timerid;
    if (info->si_code != SI_TIMER) {
        struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = RESCUE_SIGNAL };
        event._sigev_un._tid = (pid_t)sys_call(SYS_gettid);
        if (sys_call(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer))
            return;
    }
    struct itimerspec once = { .it_value = { 0, AGAIN_AFTER } };
    sys_call(SYS_timer_settime, timer, 0, &once, NULL);
}

static void arrived_kernel(struct fiber *self, void *siginfo, void *context)
{
    siginfo_t *info = siginfo;
    uintptr_t tp = arch_tp_get();
    if (self && load_relaxed(&self->flags) & FIBER_VFORK)
        return;
    bool inside = self && load_relaxed(&self->inside), timer = info->si_code == SI_TIMER;
    if (inside)
        atomic_fetch_or_explicit(&self->kernel_word, KERNEL_LOOK, memory_order_relaxed);
    if (tcb_cancelling(tp))
        tcb_cancel(tp);
    bool left = self && cancel_pending(self) && arch_leave_syscall(context);
    bool due = tcb_cancelled_anywhere(tp);
    if (due && (left || inside || (self && load_relaxed(&self->in_syscall)) ||
                !sched_signal_ops.may_interrupt(context))) {
        again_later(info);
        return;
    }
    if (timer)
        sys_call(SYS_timer_delete, info->si_timerid);
    if (!due)
        return;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL, 8);
    pthread_testcancel(); /* does not return */
}

void cancel_kernel_init(void)
{
    sched_cancel_ops.arrived_kernel = arrived_kernel;
}

/* ---- pthread_cancel ---- */

static _Atomic uint32_t prepared; /* 1: under way, 2: done */

void cancel_kernel_after_fork(void)
{
    store_relaxed(&prepared, rescue_installed() ? 2 : 0);
}

static void *cancelled_first(void *step)
{
    libc_real.pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    store_release((_Atomic uint32_t *)step, 1);
    for (unsigned i = 0; load_acquire((_Atomic uint32_t *)step) != 2; i++)
        lock_relax(i);
    return NULL;
}

static bool spend_first(void)
{
    _Atomic uint32_t step = 0;
    pthread_t thread;
    uint64_t all = ~0ull, before;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    int err = libc_real.pthread_create(&thread, NULL, cancelled_first, &step);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    if (err)
        return false;
    for (unsigned i = 0; load_acquire(&step) != 1; i++)
        lock_relax(i);
    libc_real.pthread_cancel(thread);
    store_release(&step, 2);
    libc_real.pthread_join(thread, NULL);
    return true;
}

void thread_cancel_prepare(void)
{
    uint32_t none = 0;
    if (!tcb_cancelhandling())
        return; /* a libc that we do not know */
    for (unsigned i = 0; load_acquire(&prepared) != 2; i++) {
        if (runtime_mode == RUNTIME_ACTIVE) {
            store_release(&prepared, 2); /* the probe was cancelled */
        } else if (cas_acquire(&prepared, &none, 1)) {
            if (!spend_first()) { /* no memory: as it would be without us */
                store_release(&prepared, 0);
                return;
            }
            rescue_install();
            sched.membarrier = sys_call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
                                        0, 0) == 0;
            store_release(&prepared, 2);
        } else {
            none = 0;
            lock_relax(i);
        }
    }
}

void thread_cancelled(pthread_t thread)
{
    struct fiber *f = fiber_of(thread), *self;
    if (!f || f == fiber_self)
        return; /* nor adopts itself, which is a value set for this thread */
    self = fiber_current();
    struct worker *w = runtime_enter(self);
    atomic_fetch_or_explicit(&f->attention, ATTENTION_CANCEL, memory_order_seq_cst);
    sched_barrier();
    fiber_interrupt(w, f);
    if (load_relaxed(&f->in_syscall)) /* of ours, which the handler can call off */
        sys_call(SYS_tgkill, sys_call(SYS_getpid), f->tid, RESCUE_SIGNAL);
    runtime_leave(self);
}
