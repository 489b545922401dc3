/* On the fiber: from its notes to signals that the kernel delivers to it.
 *
 * A note that has reached its fiber is raised by that fiber on itself (rt_tgsigqueueinfo to its
 * own kernel thread), outside the runtime, so the handler always has a frame of the kernel's: its
 * return, a siglongjmp out of it and what it changes in its context work as ever.
 *
 * The order. A fiber takes the oldest of its notes, and has raised at most one of them that has not
 * arrived (fiber->raised): none overtakes it in the kernel. What is raised is pending for a kernel
 * thread, so while it is, nothing may take the fiber off that thread. Raised where it is not blocked it
 * arrives before the system call returns; where the kernel blocks it until the end of a handler's frame,
 * which returns at once then, it arrives as that ends. In between only signals can come. The program's
 * handlers, which may park, wait then (signal_arrived). The monitor's signal, whose number is lower than
 * those that queue, comes first in spite of having been sent later, and its handler may move the fiber:
 * it takes back what is raised before it does (take_back). A note that goes back, or that was raised
 * and arrived where no handler may run, goes back with the number by which it is ordered.
 *
 * Called on the fiber's stack outside of the runtime, or in a signal handler there. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "signal/everyone.h"
#include "signal/route.h"
#include "signal/signal.h"

char signal_raised_mark;

/* What is raised becomes a note that waits again. Async-signal-safe. */
void signal_again(struct fiber *self)
{
    struct note *n = xchg_acqrel(&self->raised, NULL);
    if (n)
        signal_keep(self, n);
}

/* Has come, or been taken from the kernel, while no handler may run. False: there is no room. */
bool signal_put_by(struct worker *w, struct fiber *self, const siginfo_t *info, bool directed)
{
    struct note *n = note_make(info);
    if (n && directed)
        signal_keep(self, n);
    else if (n)
        note_push(&w->notes, n);
    if (!directed)
        store_relaxed(&w->signals, 1);
    return n || directed;
}

/* Looks for what is raised among what is pending for this kernel thread. False: it is not, or no more. */
static bool take_back(struct fiber *self)
{
    struct note *n = load_relaxed(&self->raised);
    int sig = n->info.si_signo;
    uint64_t bit = SIGNAL_BIT(sig), its = mark_of(n);
    struct timespec now = { 0 };
    siginfo_t info;
    while (sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) == sig) {
        if (*mark_place(&info) == its)
            return true;
        if (!signal_is_kick(&info) && !was_raised(&info) &&
            !signal_put_by(self->worker, self, &info, info.si_code == SI_TKILL))
            signal_give_back(&info);
    }
    return false;
}

/* In the handler of the monitor's signal, with everything blocked and something raised, before the fiber may
 * move. What is not pending has a frame already, beneath, and will find that it is no longer awaited. */
void signal_not_raised(struct fiber *self)
{
    take_back(self);
    signal_again(self);
}

/* A kick of this number may be pending for the kernel thread, which blocks it: in a handler. The kernel
 * keeps one of a kind, so what we are about to raise would be lost in it. One may also come just before
 * we raise, from a thread that has left the note and not sent its kick yet; so a kick of the number that
 * is raised stands for it: the note waits again, and what was raised, if it comes too, is one more kick. */
static void take_kick(int sig)
{
    uint64_t bit = SIGNAL_BIT(sig);
    struct timespec now = { 0 };
    siginfo_t info;
    if (sig < SIGRTMIN && sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) == sig &&
        !signal_is_kick(&info) && info.si_code != SI_TKILL && !was_raised(&info))
        signal_give_back(
            &info); /* for the process; one for us becomes one with what is raised now */
}

static void kick_gone(struct worker *w, struct fiber *self, int sig)
{
    uint64_t bit = SIGNAL_BIT(sig);
    struct timespec now = { 0 };
    siginfo_t info;
    while (sys_call(SYS_rt_sigtimedwait, &bit, &info, &now, 8) == sig) {
        if (signal_is_kick(&info))
            break;
        if (!was_raised(&info) && !signal_put_by(w, self, &info, info.si_code == SI_TKILL))
            signal_give_back(&info);
    }
    atomic_fetch_and_explicit(&w->kicked, ~bit, memory_order_relaxed);
}

/* After a note was taken, or a wait for signals is over. Somebody may hold this kernel thread (worker_hold) just
 * now, and send a kick for that: waits until it is here. Then the kick goes, if the kernel has not delivered it
 * yet. */
void signal_kicks_gone(struct fiber *self, uint64_t set)
{
    struct worker *w = self->worker;
    if (load_relaxed(&self->flags) & FIBER_DIRECT || likely(!load_seq(&w->retake)))
        return; /* nobody did since it last entered the runtime; partners: worker_hold, post */
    for (unsigned round = 0; load_acquire(&w->retake_lock.held); round++)
        lock_relax(round);
    for (uint64_t rest = load_relaxed(&w->kicked) & set; unlikely(rest); rest &= rest - 1)
        kick_gone(w, self, __builtin_ctzll(rest) + 1);
}

void signal_wait_over(struct fiber *self)
{
    uint64_t set = self->sigwait;
    *(volatile uint64_t *)&self->sigwait = 0;
    fence_compiler(); /* partner: the barrier of worker_hold in post */
    signal_kicks_gone(self, set);
}

/* The kernel thread is the fiber's, and has the mask. The notes stay where they are until a signal of their
 * number arrives, a kick or another: it stands for the oldest of them (arrived_direct). If they were raised
 * themselves, they would be behind what the kernel has queued for this thread while they waited. */
void signal_deliver_direct(struct fiber *self)
{
    uint32_t ktid = (uint32_t)sys_call(SYS_gettid);
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_SIGNAL, memory_order_seq_cst);
    for (uint64_t rest = load_relaxed(&self->pending); rest; rest &= rest - 1)
        signal_kick(ktid, __builtin_ctzll(rest) + 1);
}

/* Whether what was raised before is still to come. If it went away without coming, the program ignores it
 * since, and the kernel has dropped it. */
static void settle(struct fiber *self)
{
    struct note *n = self->raised;
    bool there = take_back(self);
    if (!cas_acquire(&self->raised, &n, NULL))
        return; /* it has come */
    if (there)
        signal_keep(self, n);
    else
        note_free(n);
}

/* Raises what is next of the set. True: its handler has run. False: there is none, or it arrives when the
 * frame is gone that we are called from. */
bool signal_raise_next(struct fiber *self, uint64_t set)
{
    long pid = sys_call(SYS_getpid), r = 0;
    /* From here to the raise no system call: at its end other signals raise theirs, and run handlers. */
    while (unlikely(load_relaxed(&self->raised)))
        settle(self);
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_SIGNAL, memory_order_seq_cst);
    struct note *n = signal_next(self, set);
    if (n && signal_stops(n->info.si_signo)) {
        /* No handler says that it has come, and what is thought to be still raised would be so again. */
        siginfo_t info = n->info;
        note_free(n);
        signal_kicks_gone(self, SIGNAL_BIT(info.si_signo));
        signal_stop(&info);
        return true;
    }
    if (n) {
        siginfo_t info = n->info;
        *mark_place(&info) = mark_of(n);
        store_relaxed(&self->raised, n); /* no handler of the program's from here to that of n */
        signal_kicks_gone(self, SIGNAL_BIT(info.si_signo));
        take_kick(info.si_signo);
        /* The handler runs when this returns, if not everything is blocked here (monitor.c). */
        if (load_relaxed(&self->raised) == n)
            r = sys_call(SYS_rt_tgsigqueueinfo, pid, self->worker->ktid, info.si_signo, &info);
        if (r == -EAGAIN) { /* the kernel's queue is full */
            signal_again(self);
            monitor_look_again(self->worker);
        } else if (!load_relaxed(&self->raised)) {
            return true;
        }
    }
    if (load_relaxed(&self->notes) && load_relaxed(&self->pending) & ~self->sigmask)
        atomic_fetch_or_explicit(&self->attention, ATTENTION_SIGNAL, memory_order_relaxed);
    return false;
}

void signal_deliver(struct fiber *self)
{
    if (load_relaxed(&self->flags) & FIBER_DIRECT)
        signal_deliver_direct(self);
    else if (!self->temporary || !self->temporary->hold)
        while (signal_raise_next(self, ~self->sigmask))
            ;
}

/* The same in the handler of the monitor's signal. What the frame that it interrupted blocks waits until
 * that has gone. */
void signal_deliver_over(struct fiber *self, const void *context)
{
    const ucontext_t *uc = context;
    uint64_t mask;
    memcpy(&mask, &uc->uc_sigmask, sizeof mask);
    signal_raise_next(self, ~(self->sigmask | mask));
    if (load_relaxed(&self->attention) & ATTENTION_SIGNAL)
        monitor_look_again(self->worker);
}

/* The fiber runs no handler any more. What came to it for the process somebody else may take. */
void signal_ended(struct fiber *self)
{
    signal_set_mask(self, ~0ull);
    *(volatile uint64_t *)&self->sigmask = ENDED_MASK;
    fence_compiler();   /* partner: the barrier in post */
    signal_again(self); /* what is ignored since */
    for (struct note *n = note_take_all(&self->notes), *next; n; n = next) {
        next = n->next;
        signal_forward(self->worker, n); /* with everything blocked here nothing moves the fiber */
    }
}

uint64_t signal_mask(struct fiber *self)
{
    if (load_relaxed(&self->attention) & ATTENTION_HANDLER)
        worker_read_mask(self);
    return self->sigmask;
}

void signal_set_mask(struct fiber *self, uint64_t mask)
{
    /* libc lets nobody block its own two, and the kernel two more. */
    mask &= ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(32) | SIGNAL_BIT(33));
    uint64_t before = self->sigmask;
    self->sigmask = mask;
    if (load_relaxed(&self->flags) & FIBER_DIRECT) {
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
        return;
    }
    fence_compiler(); /* partner: the barrier in post */
    if (load_relaxed(&self->notes))
        atomic_fetch_or_explicit(&self->attention, ATTENTION_SIGNAL, memory_order_relaxed);
    /* What is pending for the process comes here, before this returns, and not to an idle worker that may take
     * its time. A handler that runs lets the others know itself. */
    worker_take_signals(self);
    everyone_unblocked(mask);
    if (mask & ~before)
        everyone_blocked();
}

bool restart_wait(struct fiber *self, bool restartable)
{
    uint8_t handled = self->handled;
    self->handled = 0;
    return !handled || (restartable && !(handled & HANDLED_EINTR));
}
