/* The monitor: one kernel thread that watches procs and workers.
 *
 * It is the guarantee behind every economy elsewhere: whatever makes a worker stand still (a system
 * call that nobody intercepts, a libc-internal lock, a page fault, a loop without calls), queued
 * fibers, due timers and completions behind it get another kernel thread within milliseconds.
 *
 *   proc's tick unchanged and ...              its proc is taken after
 *   the fiber said it enters a system call     one look
 *   its thread used no CPU (blocked somewhere) about 1 ms
 *   it computes, and did not stop when it was  a slice of CPU time after that
 *   asked to (preempt.c)
 *
 * and only if something waits for that proc. The fiber runs on without a proc until it next enters
 * the runtime. Completions on the ring of a worker that is stuck can be fetched only by its own
 * kernel thread: the monitor sends it RESCUE_SIGNAL, whose handler does that.
 *
 * Between 200 us and 10 ms between looks, 1 ms at most while procs are idle beside busy ones that run
 * long at a time; after 100 ms of nothing it sleeps until a worker wakes. Own stack and TCB (a libc thread); takes
 * sched.lock, holds nothing while it sleeps. */
#include "sched/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "libc/tcb.h"

#define LOOK_MIN           (200 * NSEC_PER_USEC)
#define LOOK_MAX           (10 * NSEC_PER_MSEC)
#define LOOK_MAX_HALF_IDLE NSEC_PER_MSEC
#define IDLE_BEFORE_SLEEP  (100 * NSEC_PER_MSEC)
#define BLOCKED_AFTER      NSEC_PER_MSEC
#define BUSY_AFTER         (10 * NSEC_PER_MSEC)
#define KERNEL_SA_RESTORER 0x04000000

static struct {
    _Atomic uint32_t word;   /* changes when it is kicked */
    _Atomic uint32_t asleep; /* deeply */
    uint32_t pid, ktid;
    uint64_t look_within; /* somebody may use up its slice, ns */
} monitor;

void monitor_kick(void)
{
    if (unlikely(load_relaxed(&monitor.asleep))) {
        store_relaxed(&monitor.asleep, 0);
        add_seq(&monitor.word, 1);
        sys_call(SYS_futex, &monitor.word, FUTEX_WAKE_PRIVATE, 1);
    }
}

void monitor_look_again(struct worker *w)
{
    store_relaxed(&w->signals, 1);
    fence_seq(); /* partner: asleep in monitor_main, which then looks at signals */
    monitor_kick();
}

void monitor_wake(void)
{
    store_relaxed(&monitor.asleep, 0);
    add_seq(&monitor.word, 1);
    sys_call(SYS_futex, &monitor.word, FUTEX_WAKE_PRIVATE, 1);
}

uint32_t monitor_ktid(void)
{
    return monitor.ktid;
}

/* Whether a kernel thread waits for something, as opposed to wanting a CPU. */
static bool thread_sleeps(uint32_t ktid)
{
    char path[64], text[64];
    log_format(path, sizeof path, "/proc/self/task/%u/stat", ktid);
    if (reader_slurp(path, text, sizeof text) < 0)
        return true; /* no /proc: better a needless worker than a stuck proc */
    const char *state = strrchr(text, ')'); /* pid (name) state */
    return !state || state[1] == 0 || state[2] != 'R';
}

static void rescue(struct worker *w)
{
    add_relaxed(&sched.rescues, 1);
    sys_call(SYS_tgkill, monitor.pid, w->ktid, RESCUE_SIGNAL);
}

/* The fiber that this handler interrupted goes to its carrier from here, and returns from the handler
 * there. False: it cannot be now; the monitor tries again. */
static bool move_here(struct fiber *self, void *context)
{
    uint64_t *frame = (uint64_t *)&((ucontext_t *)context)->uc_sigmask, mask;
    struct worker *w = self->worker;
    if (load_relaxed(&self->in_syscall) || self->temporary || load_relaxed(&self->nopreempt) ||
        !sched_signal_ops.may_interrupt(context))
        return false;
    /* libc changes the mask without us, as in siglongjmp: the frame has the kernel's. */
    if (w->sigmask == self->sigmask)
        self->sigmask = *frame;
    mask = self->sigmask;
    w->sigmask = ~0ull; /* what runs there next must undo it: this handler does not return there */
    sched_move(self);
    *frame = mask;
    return true;
}

/* On the stuck worker's kernel thread, interrupting the program. */
static void on_rescue(int sig, siginfo_t *info, void *context)
{
    struct fiber *self = fiber_self;
    (void)sig;
    if (!self || load_relaxed(&self->flags) & FIBER_DIRECT) {
        if (!self || !(load_relaxed(&self->flags) & FIBER_BOUND)) {
            sched_cancel_ops.arrived_kernel(self, info, context);
        } else if (load_relaxed(&self->inside)) {
            atomic_fetch_or_explicit(&self->kernel_word, KERNEL_LOOK, memory_order_relaxed);
            store_relaxed(&self->worker->signals, sched_cancel_ops.anywhere(self));
        } else {
            store_relaxed(&self->worker->signals, 0);
            sched_cancel_ops.arrived(self, context);
        }
        return;
    }
    self->disturbed = true;
    struct worker *w = self->worker;
    if (load_relaxed(&w->in_runtime)) {
        preempt_later(self, w);
        return; /* it will look by itself */
    }
    if (unlikely(load_relaxed(&self->raised)) && sched_signal_ops.may_interrupt(context))
        sched_signal_ops.not_raised(self);
    if (preempt_here(self, w, context)) {
        w = self->worker;
    } else {
        store_relaxed(&w->in_runtime, 1);
        fence_compiler();
        if (!w->blocker)
            sched_poller->rescue(w);
    }
    bool signals = load_relaxed(&w->signals);
    if (signals)
        sched_signal_ops.drain(w, self);
    store_release(&w->in_runtime, 0);
    if (load_relaxed(&self->attention) & ATTENTION_ACCOUNT)
        account_start(self);
    bool moved = unlikely(load_relaxed(&self->attention) & ATTENTION_MOVE) &&
                 move_here(self, context);
    /* Everything is blocked here: they run when this handler returns. Not before it moves, as they are
     * pending for this kernel thread then. */
    if (!moved && load_relaxed(&self->attention) & ATTENTION_SIGNAL) {
        if (sched_signal_ops.may_interrupt(context))
            sched_signal_ops.deliver_over(self, context);
        else if (signals)
            monitor_look_again(w);
    }
    if (load_relaxed(&self->attention) & ATTENTION_CANCEL)
        sched_cancel_ops.arrived(self, context);
}

struct sched_cancel_ops sched_cancel_ops;
void (*sched_move)(struct fiber *self);

void sched_nudge(struct fiber *f)
{
    struct worker *w = *(struct worker *volatile *)&f->worker;
    if (!w || load_relaxed(&w->cur) != f || load_relaxed(&w->in_runtime))
        return; /* it comes by itself */
    /* It may wait for the very signal that its own thread is to get; it goes on by itself. */
    bool waits = *(volatile uint64_t *)&f->sigwait || *(struct temporary *volatile *)&f->temporary;
    if (!waits && load_relaxed(&f->in_syscall)) {
        struct proc *p = proc_retake(w); /* it looks at attention when it wants one again */
        if (p)
            handoff_proc(p);
    } else if ((waits || !thread_sleeps(w->ktid)) && worker_hold(w, f)) {
        sys_call(SYS_tgkill, monitor.pid, w->ktid, RESCUE_SIGNAL);
        worker_let_go(w);
    }
}

void sched_cancel_running(struct fiber *f)
{
    struct worker *w = f->worker; /* as of when it last ran; workers are never unmapped */
    if (!w || load_relaxed(&w->cur) != f || !worker_hold(w, f))
        return;
    sys_call(SYS_tgkill, monitor.pid, w->ktid, RESCUE_SIGNAL);
    worker_let_go(w);
}

/* Lone fiber in the next slot of a proc whose holder does not get to it. */
static void move_next(struct proc *p)
{
    struct fiber *f = load_relaxed(&p->runq.next);
    if (f && cas_acquire(&p->runq.next, &f, NULL)) {
        struct runq_batch b = { 0 };
        batch_add(&b, f);
        globq_put(&b);
    }
}

/* Whether a fiber that was asked to stop is to lose its proc instead: it did not come by a place where it
 * can for a slice; or the signal has not found it on a CPU, for as long as ticks may miss it, or too
 * long for what waits. */
static bool too_late(struct proc *p, struct worker *w, uint64_t now, uint64_t cpu, bool soon)
{
    uint32_t put_off = load_relaxed(&w->put_off);
    if (!p->asked_at) {
        p->asked_at = now;
        p->asked_cpu = cpu;
        p->asked_put_off = put_off;
    }
    return cpu - p->asked_cpu >= (put_off != p->asked_put_off ? 1 : 4) * preempt_slice ||
           (soon && now - p->asked_at >= 2 * preempt_slice);
}

/* Returns whether it did something. */
static bool look_at_proc(struct proc *p, uint64_t now)
{
    struct worker *w = load_relaxed(&p->worker);
    if (load_relaxed(&p->status) != PROC_RUNNING || !w)
        return false;
    uint32_t tick = load_relaxed(&p->tick);
    if (tick != p->seen_tick) {
        p->seen_tick = tick;
        p->seen_since = now;
        p->seen_cpu = p->asked_at = 0;
        if (preempt_slice && monitor.look_within > preempt_slice / 2 &&
            (!runq_empty(&p->runq) || load_relaxed(&sched.nglobal)))
            monitor.look_within = preempt_slice / 2;
        return false;
    }
    struct fiber *f = load_relaxed(&w->cur);
    if (!f || load_relaxed(&w->in_runtime))
        return false;
    bool idle_procs = sched_room() && !load_relaxed(&sched.no_worker);
    bool stuck = sched_poller->stuck(w);
    bool queued = !runq_empty(&p->runq);
    if (unlikely(load_relaxed(&sched.over)))
        preempt_request(w, p); /* so that its worker comes by the scheduler */
    bool due = load_relaxed(&p->timers.first) <= now;
    if (!stuck && !queued && !due && !(load_relaxed(&sched.nglobal) && !idle_procs))
        return false;
    uint64_t since = now - p->seen_since;
    uint64_t cpu = thread_cpu(w->ktid);
    bool computes = cpu != p->seen_cpu;
    bool sure = computes && p->seen_cpu;
    p->seen_cpu = cpu;
    bool give = since >= BUSY_AFTER && computes, stops = false;
    if (preempt_slice && !load_relaxed(&f->in_syscall)) {
        monitor.look_within = preempt_slice / 4;
        /* What has news waiting used little CPU, so it need not wait for a whole slice. */
        bool soon = due || (!idle_procs && (stuck || queued));
        give = w->hog = false;
        if (sure && (!idle_procs || due) && since >= (soon ? preempt_slice / 4 : preempt_slice)) {
            bool asked = preempt_request(w, p);
            give = w->hog = !asked || too_late(p, w, now, cpu, soon);
        }
        stops = sure && !give; /* and looks at its ring then */
    }
    if (!computes && (load_relaxed(&f->in_syscall) || since >= BLOCKED_AFTER))
        give = thread_sleeps(w->ktid); /* else the kernel runs another process: no help */
    if (stuck && (give || (since >= BLOCKED_AFTER && !(stops && !idle_procs))))
        rescue(w);
    if (!give) {
        if (queued && idle_procs) {
            move_next(p);
            sched_wake_one();
        }
        return false;
    }
    if (!proc_retake(w))
        return false;
    p->seen_since = now; /* whoever gets it starts afresh */
    p->seen_cpu = p->asked_at = 0;
    add_relaxed(&sched.handoffs, 1);
    handoff_proc(p);
    return true;
}

/* A fiber that computes without a proc (it did not stop in time, or was blocked): it is to queue up. */
static void look_at_outsider(struct worker *w, struct fiber *f)
{
    if (!preempt_slice || load_relaxed(&f->in_syscall))
        return;
    uint64_t cpu = thread_cpu(w->ktid);
    if (w->seen_cpu && cpu - w->seen_cpu > NSEC_PER_MSEC / 2) {
        monitor.look_within = preempt_slice / 4;
        preempt_request(w, NULL);
    }
    w->seen_cpu = cpu;
}

/* Workers that lost their proc: their rings still belong to them. And those whose fiber was interrupted
 * by a signal on its way out of our code, and has not come back since. */
static void look_at_workers(void)
{
    for (struct worker *w = load_acquire(&sched.workers); w; w = w->all) {
        names_look(w);
        if (unlikely(chaos_on))
            chaos_look(w);
        struct fiber *f = load_relaxed(&w->cur);
        if (w->carrier) {
            if (unlikely(f && load_relaxed(&w->signals)))
                rescue(w);
            continue;
        }
        account_look(w);
        if (!f || load_relaxed(&w->in_runtime))
            continue;
        if (unlikely(load_relaxed(&f->attention) & ATTENTION_MOVE))
            sched_nudge(f); /* the first time it may have been in our code, or asleep */
        bool outsider = !w->proc && !w->blocker;
        if (load_relaxed(&w->signals) || (outsider && sched_poller->stuck(w)))
            rescue(w);
        if (outsider)
            look_at_outsider(w, f);
    }
}

/* Runs the timers of procs on which nobody sleeps: there was no worker for it. When the next is due. */
static uint64_t run_orphans(uint64_t now)
{
    uint64_t next = TIMER_NEVER;
    for (uint32_t i = 0; i < sched.nprocs; i++) {
        struct proc *p = &sched.procs[i];
        if (load_relaxed(&p->worker))
            continue;
        timer_run(&p->timers, NULL, now);
        if (load_relaxed(&p->timers.first) < next)
            next = load_relaxed(&p->timers.first);
    }
    return next;
}

static void *monitor_main(void *arg)
{
    (void)arg;
    uint64_t delay = LOOK_MIN, idle_since = 0;
    for (;;) {
        uint32_t word = load_seq(&monitor.word); /* partner: monitor_wake */
        struct timespec ts = { 0, (long)delay };
        sys_call(SYS_futex, &monitor.word, FUTEX_WAIT_PRIVATE, word, &ts);
        uint64_t now = timer_now();
        bool did = false;
        uint64_t orphan = run_orphans(now);
        monitor.look_within = LOOK_MAX;
        look_at_workers();
        if (sched_signal_ops.sweep)
            sched_signal_ops.sweep();
        if (sched_poller->shared)
            sched_poller->poll(NULL, NULL, 64, true);
        if (load_relaxed(&sched.nidle) == sched.nprocs && !load_relaxed(&sched.nglobal)) {
            if (!idle_since)
                idle_since = now;
            if (now - idle_since > IDLE_BEFORE_SLEEP) {
                word = load_relaxed(&monitor.word);
                store_seq(&monitor.asleep, 1);
                /* Workers stuck without a proc have rings to watch; and whoever sits in a system call, a
                 * signal that came just before it. */
                bool stuck = false;
                for (struct worker *w = load_acquire(&sched.workers); w; w = w->all)
                    stuck |= load_relaxed(&w->cur) &&
                             (load_relaxed(&w->alive) || load_relaxed(&w->signals));
                uint64_t within = stuck ? LOOK_MAX * 5 : TIMER_NEVER;
                if (orphan != TIMER_NEVER && orphan - now < within)
                    within = orphan - now;
                ts = (struct timespec){ (time_t)(within / NSEC_PER_SEC),
                                        (long)(within % NSEC_PER_SEC) };
                if (load_seq(&sched.nidle) == sched.nprocs)
                    sys_call(SYS_futex, &monitor.word, FUTEX_WAIT_PRIVATE, word,
                             within == TIMER_NEVER ? NULL : &ts);
                store_relaxed(&monitor.asleep, 0);
                delay = LOOK_MIN;
                continue;
            }
        } else {
            idle_since = 0;
        }
        for (uint32_t i = 0; i < sched.nprocs; i++)
            did |= look_at_proc(&sched.procs[i], now);
        share_look(now);
        follow_look(now);
        uint32_t idle = load_relaxed(&sched.nidle);
        if (idle) {
            bool queued = load_relaxed(&sched.nglobal);
            for (uint32_t i = 0; i < sched.nprocs && !queued; i++)
                queued = !runq_ring_empty(&sched.procs[i].runq);
            if (queued)
                sched_wake_one();
        }
        /* Nobody waits long behind fibers that run briefly. */
        bool half_idle = sched_room() && idle < sched.nprocs && !load_relaxed(&sched.brief);
        uint64_t max = half_idle ? LOOK_MAX_HALF_IDLE : LOOK_MAX;
        if (max > monitor.look_within)
            max = monitor.look_within;
        delay = did || chaos_on ? LOOK_MIN : delay * 2;
        if (delay > max)
            delay = max;
    }
    return NULL;
}

static bool handler_installed;

bool rescue_installed(void)
{
    return handler_installed;
}

void rescue_install(void)
{
    /* On the alternate stack if the thread has one: the stack pointer may be no stack (Erlang's generated
     * code keeps data below it). Such a fiber is stopped on that stack, which is its own as well.
     * The kernel's own sigaction: libc's refuses the number. */
    struct {
        void (*handler)(int, siginfo_t *, void *);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } action = { on_rescue, SA_RESTART | SA_SIGINFO | SA_ONSTACK | KERNEL_SA_RESTORER,
                 arch_sigreturn, ~0ull };
    /* libc was made to install its own before (tcb_activate, thread_cancel_prepare); never again. */
    sys_call(SYS_rt_sigaction, RESCUE_SIGNAL, &action, NULL, 8);
    handler_installed = true;
}

int monitor_start(void)
{
    memset(&monitor, 0, sizeof monitor);
    monitor.pid = (uint32_t)sys_call(SYS_getpid);
    names_start();
    preempt_start();
    reader_start();
    sched.membarrier = sys_call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) ==
                       0;

    rescue_install();
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024 + tcb_room());
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* the monitor never runs the program's handlers */
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    int err = libc_real.pthread_create(&thread, &attr, monitor_main, NULL);
    if (!err)
        monitor.ktid = tcb_tid((uintptr_t)thread);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    pthread_attr_destroy(&attr);
    return -err;
}
