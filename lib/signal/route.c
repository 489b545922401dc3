/* From the sender of a signal to the fiber that it is for: choosing it, leaving it a note, and making it look.
 *
 * A signal for the process goes to the main thread if that takes it, as the kernel does it, else to another
 * that does. If nobody does it goes back to the kernel, which keeps it pending for the process.
 *
 * A fiber that is to look at its notes is interrupted if it is parked (fiber_interrupt), sees them
 * when it leaves the runtime or before it parks, and is sent a kick if it computes or sits in a
 * system call: the signal itself, marked, to its kernel thread. The order that makes this complete
 * is that of proc_retake: sender stores, makes all CPUs pass a barrier, and looks; the fiber changes
 * its state, and looks, without a fence.
 *
 * A kick finds its target or nobody: it is sent while the target is held where it is (worker_hold). Nor does
 * it outlive its note: it is sent while the note waits, and who takes that disposes of the kick before anything
 * else happens (signal_kicks_gone). Else it would meet an action that is the default since, or the kernel thread
 * of a fiber that does not block what the target blocks.
 *
 * Called inside the runtime, on a scheduler stack, or on kernel threads that are not ours with every signal
 * blocked: locks are taken. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include "arch/syscall.h"
#include "signal/everyone.h"
#include "signal/route.h"
#include "signal/signal.h"

static char kick_mark;

bool signal_is_kick(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &kick_mark;
}

void signal_kick(uint32_t ktid, int sig)
{
    siginfo_t kick;
    memset(&kick, 0, sizeof kick);
    kick.si_signo = sig;
    kick.si_code = SI_QUEUE; /* what the kernel lets one thread say to another */
    kick.si_pid = (pid_t)sys_call(SYS_getpid);
    kick.si_value.sival_ptr = &kick_mark;
    sys_call(SYS_rt_tgsigqueueinfo, kick.si_pid, ktid, sig, &kick);
}

static bool looks_for(struct fiber *f, uint64_t bit)
{
    return everyone_takes(f, bit) || *(volatile uint64_t *)&f->sigwait & bit;
}

bool signal_stops(int sig)
{
    struct sigaction action;
    return SIGNAL_BIT(sig) & STOPS && signal_action(sig, NULL, &action) == 0 &&
           action.sa_handler == SIG_DFL;
}

void signal_stop(const siginfo_t *info)
{
    uint64_t all = ~0ull, mask, but = all & ~SIGNAL_BIT(info->si_signo);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid), sys_call(SYS_gettid), info->si_signo,
             info);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &but, NULL, 8);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

/* Inside the runtime, or where a lock may be taken. f is not the caller. */
static void post(struct fiber *f, struct note *n)
{
    int sig = n->info.si_signo;
    uint64_t bit = SIGNAL_BIT(sig);
    /* By way of a note it would stop twice, as the kick does it already. */
    if (signal_stops(sig) && everyone_takes(f, bit)) {
        signal_stop(&n->info);
        note_free(n);
        return;
    }
    if (!signal_keep(f, n))
        return;
    sched_barrier(); /* partners: runtime_leave, fiber_park_interruptible, signal_set_mask, ended */
    if (unlikely(*(volatile uint64_t *)&f->sigmask == ENDED_MASK)) {
        n = note_take_all(&f->notes); /* too late; f may have taken some back itself */
        for (struct note *next; n; n = next) {
            next = n->next;
            signal_forward(load_acquire(&sched.workers), n);
        }
        return;
    }
    if (fiber_interrupt(NULL, f)) {
        monitor_kick(); /* the monitor sees to it that somebody runs f: we may be in a handler */
        return;
    }
    if (load_relaxed(&f->flags) & FIBER_BOUND) {
        signal_kick(load_relaxed(&f->carrier)->ktid, sig); /* the kernel knows its mask */
        return;
    }
    struct worker *w = *(struct worker *volatile *)&f->worker;
    if (!w || load_relaxed(&w->cur) != f || load_relaxed(&w->in_runtime) || !looks_for(f, bit))
        return;
    if (worker_hold(w, f)) {
        /* Not when f has its note already: the action may be the default since, and the kick would end us. Nor
         * when f waits no more, and blocks it: whoever runs there next may not. */
        if (load_seq(&f->pending) & bit && looks_for(f, bit)) { /* partner: signal_kicks_gone */
            atomic_fetch_or_explicit(&w->kicked, bit, memory_order_relaxed);
            signal_kick(w->ktid, sig);
        }
        worker_let_go(w);
    }
}

/* Makes a signal that this kernel thread blocks pending for the process, as it was. */
void signal_give_back(siginfo_t *info)
{
    long pid = sys_call(SYS_getpid);
    /* Only the first kernel thread may say that the kernel or kill(2) sent it. */
    if (sys_call(SYS_rt_sigqueueinfo, pid, info->si_signo, info))
        sys_call(SYS_kill, pid, info->si_signo);
}

/* ---- choosing a thread ---- */

struct fiber *signal_main_takes(uint64_t bit)
{
    struct fiber *f = sched_main_fiber;
    return f &&
                   (!(load_relaxed(&f->flags) & FIBER_DIRECT) ||
                    load_relaxed(&f->flags) & FIBER_BOUND) &&
                   load_relaxed(&f->state) != FIBER_ENDED && everyone_takes(f, bit)
               ? f
               : NULL;
}

static struct fiber *choose(struct fiber *cur, uint64_t bit)
{
    if (bit & NOT_FOR_MAIN && cur && everyone_takes(cur, bit))
        return cur;
    struct fiber *f = signal_main_takes(bit);
    if (!f && cur && everyone_takes(cur, bit))
        f = cur;
    return f ? f : everyone_find(bit);
}

/* cur: what the calling worker runs. Inside the runtime or on a scheduler stack. */
void signal_hand_out(struct worker *w, struct fiber *cur, struct note *n)
{
    uint64_t bit = SIGNAL_BIT(n->info.si_signo);
    struct fiber *f = choose(cur, bit);
    n->process = true;
    if (f && f == cur) {
        signal_keep(f, n); /* it is about to look */
    } else if (f) {
        post(f, n);
    } else {
        /* Back to the process: kept there until somebody's mask lets it through. */
        siginfo_t info = n->info;
        note_free(n);
        w->sigmask |= bit;
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, &bit, NULL, 8);
        signal_give_back(&info);
    }
}

bool signal_taken(uint64_t bit)
{
    return choose(NULL, bit);
}

bool signal_route(struct note *n)
{
    struct fiber *f = choose(NULL, SIGNAL_BIT(n->info.si_signo));
    n->process = true;
    if (f)
        post(f, n);
    return f;
}

void signal_drain(struct worker *w, struct fiber *cur)
{
    if (load_relaxed(&w->wake) & WAKE_SIGNAL)
        atomic_fetch_and_explicit(&w->wake, ~WAKE_SIGNAL, memory_order_relaxed);
    store_relaxed(&w->signals, 0);
    for (struct note *n = note_take_all(&w->notes), *next; n; n = next) {
        next = n->next;
        signal_hand_out(w, cur, n);
    }
}

/* The kernel knows the thread and delivers to it. Its carrier stays while the lock is held. */
static int send_to_carrier(struct fiber *f, const siginfo_t *info)
{
    struct fiber *self = fiber_self;
    uint64_t all = ~0ull, mask;
    long r = 0, pid = sys_call(SYS_getpid);
    bool fiber = self && !(load_relaxed(&self->flags) & FIBER_DIRECT);
    if (f == self) {
        siginfo_t copy = *info;
        return (int)sys_call(SYS_rt_tgsigqueueinfo, pid, load_relaxed(&f->carrier)->ktid,
                             info->si_signo, &copy);
    }
    if (fiber)
        runtime_enter(self);
    else
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    lock_acquire(&f->lock);
    uint32_t ktid = load_relaxed(&f->carrier)->ktid;
    if (f->ended)
        r = 0;
    else if (info->si_code == SI_TKILL)
        r = sys_call(SYS_tgkill, pid, ktid, info->si_signo);
    else
        r = sys_call(SYS_rt_tgsigqueueinfo, pid, ktid, info->si_signo, info);
    lock_release(&f->lock);
    if (fiber)
        runtime_leave(self);
    else
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    return (int)r;
}

/* What the kernel counts itself comes on top: its own queues are mostly empty. */
static bool too_many(void)
{
    struct rlimit limit;
    return sys_call(SYS_prlimit64, 0, RLIMIT_SIGPENDING, NULL, &limit) == 0 &&
           note_count() >= limit.rlim_cur;
}

int signal_send(struct fiber *f, const siginfo_t *info)
{
    struct fiber *self = fiber_self;
    int sig = info->si_signo;
    uint64_t mask = 0, all = ~0ull;
    bool fiber = self && !(load_relaxed(&self->flags) & FIBER_DIRECT);
    if (load_relaxed(&f->flags) & FIBER_BOUND)
        return send_to_carrier(f, info);
    bool at_once = f == self && !(signal_mask(self) & SIGNAL_BIT(sig));
    if (at_once && info->si_code != SI_QUEUE) /* which the kernel's own signals may look like */
        return (int)sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid), self->worker->ktid, sig,
                             info);
    struct note *n = sig >= SIGRTMIN && too_many() ? NULL : note_make(info);
    if (!n)
        return -EAGAIN;
    if (f == self) {
        signal_keep(f, n);
        if (at_once)
            signal_deliver(self); /* else: when it is not blocked */
        return 0;
    }
    if (fiber)
        runtime_enter(self);
    else /* a handler must not meet our locks */
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    post(f, n);
    sched_wake_one();
    if (fiber)
        runtime_leave(self);
    else
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    return 0;
}

bool signal_process(struct fiber *self, const siginfo_t *info)
{
    uint64_t bit = SIGNAL_BIT(info->si_signo);
    struct worker *w = runtime_enter(self);
    struct note *n = choose(self, bit) ? note_make(info) : NULL;
    if (n) {
        signal_hand_out(w, self, n);
        sched_wake_one();
    }
    runtime_leave(self);
    return n;
}
