/* Preemption: a fiber that runs for longer than its slice while others wait is stopped wherever it
 * is, and goes on later, perhaps on another worker.
 *
 * How. The monitor notices (look_at_proc) and makes a signal: a timer on the worker's CPU time that
 * is due at once. The kernel's tick raises it, and only while that thread uses the CPU, so a system
 * call that sleeps never ends with EINTR because of it. The handler (on_rescue, monitor.c) runs on the
 * fiber's own stack with everything blocked; it switches away right there, like a park, and the fiber
 * is later resumed in the handler, on whichever worker, and returns from it: the kernel restores all
 * registers, vector and floating-point state included, from the frame. Slices below TICK, which tests
 * ask for, use tgkill.
 *
 * Where. Not in libc, ld.so, the vdso (a lock may be held there) and not in our own text (a register
 * may hold the worker's address): see libc/text.c. Not inside the runtime, an announced system call,
 * a signal handler of the program's (it may have interrupted libc), or raddle_nopreempt_begin. Then
 * the fiber is marked, and stops when it next leaves the runtime, or the monitor tries again, or, after
 * two slices, takes its proc as if it were blocked. A fiber that waits for a lock of libc's, which
 * shows as a futex call about to be restarted, may be stopped: it holds nothing by that call.
 *
 * Then. Fibers that used up their slice queue in a list of their own (sched.hogs): first come, first
 * served for all procs, so their shares are equal whichever proc they were on, and behind everything
 * else that can run. So that a stream of others cannot starve them, a proc that ran none for half a
 * slice takes one.
 *
 * What the worker's kernel thread carries for the fiber, its signal mask and alternate stack, is
 * written into the frame on the way out, as rt_sigreturn installs what the frame has.
 *
 * preempt_here, preempt_later: in the signal handler. preempt_due: on the fiber, outside the runtime.
 * preempt_request: the monitor. requeue_hog, preempted_get: scheduler side. */
#include "sched/internal.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "base/option.h"
#include "libc/tcb.h"

#define TICK        (4 * NSEC_PER_MSEC)
#define CHAOS_SLICE TICK
#define SMALL_STACK (64u * 1024) /* of the program's own: no frames of ours on it */

/* worker->preempt: the tick of the proc at which it was asked for, so that a late signal finds out
 * that it came for somebody else. */
#define WANTED ((uint64_t)1 << 32)

enum { TIMER_NONE, TIMER_MADE, TIMER_DENIED };

uint64_t preempt_slice;

void preempt_start(void)
{
    preempt_slice = options.debug_slice_us ? (uint64_t)options.debug_slice_us * NSEC_PER_USEC
                                           : (uint64_t)options.slice_ms * NSEC_PER_MSEC;
    if (chaos_on && preempt_slice > CHAOS_SLICE)
        preempt_slice = CHAOS_SLICE;
    if (!libc_text_find())
        preempt_slice = 0;
}

/* ---- the monitor's side ---- */

static bool timer_made(struct worker *w)
{
    if (w->timer_state == TIMER_NONE) {
        struct sigevent e;
        memset(&e, 0, sizeof e);
        e.sigev_notify = SIGEV_THREAD_ID;
        e.sigev_signo = RESCUE_SIGNAL;
        e._sigev_un._tid = (pid_t)w->ktid;
        clockid_t clock = (clockid_t)(~w->ktid << 3 | 6); /* CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED */
        long r = sys_call(SYS_timer_create, clock, &e, &w->timer);
        w->timer_state = r ? TIMER_DENIED : TIMER_MADE;
    }
    return w->timer_state == TIMER_MADE;
}

bool preempt_request(struct worker *w, struct proc *p)
{
    struct fiber *f = load_relaxed(&w->cur); /* never dangling; a wrong answer is corrected later */
    if (!preempt_slice || !f || (f->stack.user && f->stack.top - f->stack.base < SMALL_STACK))
        return false;
    bool fine = preempt_slice < TICK;
    if (!fine && !timer_made(w))
        return false;
    store_relaxed(&w->preempt, WANTED | (p ? load_relaxed(&p->tick) : 0));
    if (fine) {
        sys_call(SYS_tgkill, sys_call(SYS_getpid), w->ktid, RESCUE_SIGNAL);
        return true;
    }
    struct itimerspec at_once = { .it_value = { 0, 1 } };
    return sys_call(SYS_timer_settime, w->timer, 0, &at_once, NULL) == 0;
}

/* ---- the fiber's side ---- */

/* Whether what w runs now is what the monitor meant. A worker without a proc lost it because its
 * fiber did not stop. */
static bool wanted(struct worker *w)
{
    uint64_t want = load_relaxed(&w->preempt);
    if (!want)
        return false;
    struct proc *p = *(struct proc *volatile *)&w->proc; /* the monitor may take it just now */
    return !p || want == (WANTED | load_relaxed(&p->tick));
}

static void put_off(struct fiber *self, struct worker *w)
{
    self->preempt_tick = (uint32_t)load_relaxed(&w->preempt);
    atomic_fetch_or_explicit(&self->attention, ATTENTION_PREEMPT, memory_order_relaxed);
    add_relaxed(&sched.preempts_put_off, 1);
    store_relaxed(&w->put_off, load_relaxed(&w->put_off) + 1);
}

void preempt_later(struct fiber *self, struct worker *w)
{
    if (wanted(w))
        put_off(self, w);
}

/* Sections that no register tells of. */
static bool in_section(struct fiber *self)
{
    return load_relaxed(&self->nopreempt) || self->temporary || load_relaxed(&self->in_syscall);
}

static bool may_stop(struct fiber *self, const ucontext_t *uc)
{
    if (in_section(self) || worker_in_handler(self, arch_context_sp(uc)))
        return false;
    const void *pc = arch_context_pc(uc);
    return libc_text_free(pc) || (!libc_text_ours(pc) && arch_context_waits(uc));
}

bool preempt_here(struct fiber *self, struct worker *w, void *context)
{
    ucontext_t *uc = context;
    uint64_t *mask = (uint64_t *)&uc->uc_sigmask;
    if (w->blocker || !wanted(w))
        return false;
    if (!may_stop(self, uc)) {
        put_off(self, w);
        return false;
    }
    /* libc changes the mask without us, as in siglongjmp: the frame has the kernel's. */
    if (w->sigmask == self->sigmask)
        self->sigmask = *mask;
    w->sigmask = ~0ull;
    store_relaxed(&w->in_runtime, 1);
    fence_compiler(); /* partner: the membarrier in proc_retake() */
    store_relaxed(&w->preempt, 0);
    add_relaxed(&sched.preempts, 1);
    if (unlikely(load_relaxed(&w->retake))) {
        struct proc *p = *(struct proc *volatile *)&w->proc;
        uint32_t tick = p ? load_relaxed(&p->tick) : 0;
        struct worker *now = runtime_enter_slow(self); /* waits for its turn if the proc is gone */
        bool paused = !p || now->proc != p || load_relaxed(&p->tick) != tick;
        if (unlikely(chaos_on || !paused))
            fiber_reschedule(self, requeue_hog);
    } else {
        w->proc->hog_at = timer_now();
        fiber_reschedule(self, requeue_hog);
    }
    /* Here again, later, maybe on another worker, whose kernel thread has another fiber's mask. */
    w = self->worker;
    if (w->sigmask != ~0ull) {
        w->sigmask = ~0ull;
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &w->sigmask, NULL, 8);
    }
    if (w->alt_sp != self->alt_sp)
        worker_set_alt(self);
    uc->uc_stack = (stack_t){ .ss_sp = self->alt_sp,
                              .ss_size = self->alt_sp ? self->alt_size : 0,
                              .ss_flags = self->alt_sp ? self->alt_flags : SS_DISABLE };
    /* The kernel's when the handler returns; nothing comes before. */
    *mask = w->sigmask = self->sigmask;
    return true;
}

void preempt_due(struct fiber *self)
{
    /* In a handler, too, the mark stays: what it interrupted is not known. */
    if (in_section(self) || load_relaxed(&self->attention) & ATTENTION_HANDLER)
        return;
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_PREEMPT, memory_order_relaxed);
    uint32_t tick = self->preempt_tick;
    struct worker *w = runtime_enter(self);
    if (w && w->proc && load_relaxed(&w->proc->tick) == tick) { /* else it has paused already */
        add_relaxed(&sched.preempts, 1);
        w->proc->hog_at = timer_now();
        fiber_reschedule(self, requeue_hog);
    }
    runtime_leave(self);
}

/* ---- their queue ---- */

void requeue_hog(struct worker *w, void *arg)
{
    struct fiber *f = arg;
    store_relaxed(&f->state, FIBER_RUNNABLE);
    f->next = NULL;
    lock_acquire(&sched.lock);
    if (sched.hogs_last)
        sched.hogs_last->next = f;
    else
        sched.hogs_first = f;
    sched.hogs_last = f;
    store_relaxed(&sched.nhogs, load_relaxed(&sched.nhogs) + 1);
    store_relaxed(&sched.nglobal, load_relaxed(&sched.nglobal) + 1);
    lock_release(&sched.lock);
    (void)w;
    if (load_relaxed(&sched.nidle))
        sched_wake_one();
}

struct fiber *preempted_get(struct proc *p, bool must)
{
    if (likely(!load_relaxed(&sched.nhogs)))
        return NULL;
    uint64_t now = timer_now();
    if (!must && now - p->hog_at < preempt_slice / 2)
        return NULL;
    lock_acquire(&sched.lock);
    struct fiber *f = sched.hogs_first;
    if (f) {
        sched.hogs_first = f->next;
        if (!f->next)
            sched.hogs_last = NULL;
        store_relaxed(&sched.nhogs, load_relaxed(&sched.nhogs) - 1);
        store_relaxed(&sched.nglobal, load_relaxed(&sched.nglobal) - 1);
        p->hog_at = now;
    }
    lock_release(&sched.lock);
    return f;
}
