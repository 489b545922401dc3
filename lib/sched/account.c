/* The CPU time of fibers.
 *
 * The kernel counts for kernel threads. A fiber's time is what its workers used while it ran, and
 * finding that out costs a system call at either end of each stretch: too much for programs that
 * never ask. So there are two ways of counting. Until the first question only the monitor counts: at
 * each look it gives a fiber that has run since its last look without a switch what the worker used
 * meanwhile. A thread that computes is credited but for its first look; one that runs briefly is not.
 * The first question marks all fibers (ATTENTION_ACCOUNT). From then on each reads the worker's clock
 * when it leaves the runtime after a switch (account_start) and before it lets others run
 * (account_stop); unmarked, both places test attention for other reasons anyway.
 *
 * Invariants: cpu never decreases, and while cpu_worker is set the clock of that kernel thread has
 * counted for nobody else since cpu_start. Before accounting is on only the monitor writes cpu; after
 * that, only the fiber itself, with cpu_changes odd meanwhile. A bound fiber's stretch begins when it
 * arrives on its carrier and lasts. `on` and `looking` keep the monitor and the switch-over apart:
 * each side stores its own and then (seq_cst) reads the other's. */
#include "sched/internal.h"

#include <time.h>
#include "arch/syscall.h"

static _Atomic uint32_t on, looking;

uint64_t thread_cpu(uint32_t ktid)
{
    struct timespec ts = { 0 };
    clockid_t clock = (clockid_t)(~ktid << 3 | 6); /* CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED */
    sys_call(SYS_clock_gettime, clock, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t own_clock(void)
{
    struct timespec ts = { 0 };
    sys_call(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Whether w has run f since the monitor's last look, as far as it went. */
static bool ran_through(struct worker *w, struct fiber *f)
{
    struct proc *p = *(struct proc *volatile *)&w->proc;
    return w->acct == f && w->acct_tid == f->tid && w->acct_proc == p &&
           (!p || load_relaxed(&p->tick) == w->acct_tick);
}

void account_start(struct fiber *self)
{
    struct worker *w = self->worker;
    if (load_relaxed(&self->cpu_worker) == w)
        return;
    uint64_t start = own_clock();
    if (unlikely(w->acct)) { /* the first stretch goes on where the monitor stopped counting */
        if (ran_through(w, self))
            start = w->acct_cpu;
        w->acct = NULL;
    }
    add_seq(&self->cpu_changes, 1);
    store_relaxed(&self->cpu_start, start);
    store_relaxed(&self->cpu_worker, w);
    add_seq(&self->cpu_changes, 1);
}

void account_stop(struct fiber *self)
{
    if (!load_relaxed(&self->cpu_worker))
        return;
    uint64_t used = own_clock() - load_relaxed(&self->cpu_start);
    add_seq(&self->cpu_changes, 1);
    store_relaxed(&self->cpu_worker, NULL);
    store_relaxed(&self->cpu, load_relaxed(&self->cpu) + used);
    add_seq(&self->cpu_changes, 1);
}

static void mark(struct fiber *f)
{
    atomic_fetch_or_explicit(&f->attention, ATTENTION_ACCOUNT, memory_order_seq_cst);
}

void account_new(struct fiber *f)
{
    if (unlikely(load_relaxed(&on))) /* partner: the barrier in switch_on */
        mark(f);
}

static void switch_on(void)
{
    if (xchg_seq(&on, 1))
        return;
    for (unsigned round = 0; load_seq(&looking); round++)
        lock_relax(round);
    /* A fiber made meanwhile was either marked by account_new, or will be by the walk. */
    sched_barrier();
    if (sched_main_fiber)
        mark(sched_main_fiber);
    struct fiber *each;
    for (uint32_t slot = 0; (each = fiber_after(&slot));)
        mark(each);
    sched_barrier();
    /* Those that compute may not come to the runtime for long. */
    for (struct worker *w = load_acquire(&sched.workers); w; w = w->all) {
        struct fiber *f = load_relaxed(&w->cur);
        if (f && f != fiber_self && !load_relaxed(&f->in_syscall))
            sched_nudge(f);
    }
}

uint64_t account_read(struct fiber *f)
{
    struct fiber *self = fiber_self;
    if (unlikely(!load_relaxed(&on)) || f == self) {
        if (self)
            runtime_enter(self);
        if (!load_relaxed(&on))
            switch_on();
        if (f == self && !(load_relaxed(&f->flags) & FIBER_DIRECT))
            account_start(f);
        if (self)
            runtime_leave(self);
    }
    for (;;) {
        uint32_t changes = load_seq(&f->cpu_changes);
        struct worker *w = load_relaxed(&f->cpu_worker);
        uint64_t total = load_relaxed(&f->cpu), start = load_relaxed(&f->cpu_start);
        uint64_t now = w ? thread_cpu(w->ktid) : 0;
        if (changes % 2 == 0 && load_seq(&f->cpu_changes) == changes)
            return w && now > start ? total + (now - start) : total;
        lock_relax(1);
    }
}

void account_look(struct worker *w)
{
    store_seq(&looking, 1);
    struct fiber *f = load_relaxed(&w->cur);
    if (load_seq(&on) || !f || load_relaxed(&f->in_syscall)) {
        if (!load_relaxed(&on))
            w->acct = NULL;
    } else {
        struct proc *p = *(struct proc *volatile *)&w->proc;
        uint32_t tick = p ? load_relaxed(&p->tick) : 0, tid = f->tid;
        bool through = ran_through(w, f);
        uint64_t now = thread_cpu(w->ktid);
        if (load_acquire(&w->cur) != f || *(struct proc *volatile *)&w->proc != p ||
            (p && load_relaxed(&p->tick) != tick)) {
            w->acct = NULL; /* switched while we looked */
        } else {
            if (through)
                store_relaxed(&f->cpu, load_relaxed(&f->cpu) + (now - w->acct_cpu));
            w->acct = f;
            w->acct_proc = p;
            w->acct_tick = tick;
            w->acct_tid = tid;
            w->acct_cpu = now;
        }
    }
    store_seq(&looking, 0);
}

void account_after_fork(void)
{
    store_relaxed(&on, 0);
    store_relaxed(&looking, 0);
}
