/* Workers: kernel threads that run fibers while they hold a proc.
 *
 * Invariants: a struct worker is never unmapped and stays on sched.workers, so the monitor may look
 * at it at any time; one that ended is marked and reused. Kernel thread 0 (the process's first) is
 * worker 0 and never ends: the main fiber's TCB holds what the kernel knows of it.
 *
 * worker_start is called by the maker (maker.c) or during activation; it makes a kernel thread with
 * libc's pthread_create, so that libc's own thread list knows it. */
#include "sched/internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "base/option.h"
#include "libc/tcb.h"

#define WORKER_STACK (256 * 1024)

struct worker *worker_make(void)
{
    struct worker *w = mmap(NULL, ALIGN_UP(sizeof *w, 4096), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED)
        return NULL;
    store_relaxed(&w->in_runtime, 1); /* a scheduler stack is inside the runtime */
    store_relaxed(&w->retake, chaos_on);
    lock_acquire(&sched.lock);
    w->id = sched.next_worker_id++;
    w->random = w->id * 2654435761u + 1;
    w->chaos = chaos_seed(w->id);
    lock_release(&sched.lock);
    return w;
}

void worker_publish(struct worker *w)
{
    struct worker *head = load_relaxed(&sched.workers);
    do
        w->all = head;
    while (!cas_release(&sched.workers, &head, w)); /* partner: the monitor's acquire */
}

static void say_once(_Atomic uint32_t *said, const char *line)
{
    if (!xchg_seq(said, 1) && !options.quiet)
        log_line("%s", line);
}

struct fiber *sched_main_fiber;

struct sched_signal_ops sched_signal_ops;

/* The kernel thread's alternate stack becomes the fiber's. EPERM: a handler runs on it right now; the
 * next leave tries again. */
void worker_set_alt(struct fiber *self)
{
    stack_t alt = { .ss_sp = self->alt_sp, .ss_size = self->alt_size, .ss_flags = self->alt_flags };
    if (!self->alt_sp)
        alt.ss_flags = SS_DISABLE;
    if (sys_call(SYS_sigaltstack, &alt, NULL) == 0)
        self->worker->alt_sp = self->alt_sp;
}

static bool on_alternate_stack(const struct fiber *self, uintptr_t sp)
{
    return self->alt_sp && sp - (uintptr_t)self->alt_sp < self->alt_size;
}

static void disable_alt(struct worker *w)
{
    stack_t none = { .ss_flags = SS_DISABLE };
    if (sys_call(SYS_sigaltstack, &none, NULL) == 0)
        w->alt_sp = NULL;
}

/* The fiber whose alternate stack the kernel thread has leaves. Soon it may run a handler there on
 * another worker, or has just been stopped there by a signal: a signal that comes here meanwhile must
 * not use that stack. While we stand on it ourselves the kernel does not let it go; then nothing is let
 * through until the next fiber has its own mask, which comes after its alternate stack. */
void worker_drop_alt(struct worker *w)
{
    struct fiber *f = fiber_self;
    if (!f || !on_alternate_stack(f, (uintptr_t)__builtin_frame_address(0)))
        disable_alt(w);
    else if (w->sigmask != ~0ull)
        worker_block_signals(w);
}

/* Outside the runtime, in text where no handler of the program's runs except at the end of a system
 * call: the notes about w are made before each. */
void worker_take_signals(struct fiber *self)
{
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_CHAOS))
        chaos_leaving(self);
    struct worker *w = self->worker;
    if (unlikely(load_relaxed(&w->signals))) {
        store_relaxed(&w->in_runtime, 1); /* wakes fibers, but needs no proc: no runtime_enter */
        fence_compiler();
        sched_signal_ops.drain(w, self);
        store_release(&w->in_runtime, 0);
    }
    /* A call with a mask of its own moves by itself: its mask is not the kernel's. */
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_MOVE) && !self->temporary) {
        sched_move(self);
        return; /* what follows is the kernel's business there */
    }
    if (load_relaxed(&self->attention) & ATTENTION_ACCOUNT)
        account_start(self);
    if (self->alt_sp != w->alt_sp) {
        worker_set_alt(self);
        w = self->worker;
    }
    if (self->sigmask != w->sigmask && !self->temporary) {
        /* The note never says more than the kernel blocks: somebody may wait for it (everyone_blocked).
         * At the end of the call handlers may run, and take the fiber elsewhere. */
        uint64_t mask = self->sigmask, both = w->sigmask & mask;
        *(volatile uint64_t *)&w->sigmask = both;
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
        w = self->worker;
        if (w->sigmask == both)
            w->sigmask = mask;
    }
    uint32_t attention = load_relaxed(&self->attention);
    if (unlikely(attention & ATTENTION_HANDLER) && load_relaxed(&self->notes)) {
        worker_read_mask(self); /* siglongjmp may have let them through */
        attention |= ATTENTION_SIGNAL;
    }
    if (attention & ATTENTION_SIGNAL)
        sched_signal_ops.deliver(self);
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_CANCEL) &&
        sched_cancel_ops.anywhere(self)) {
        /* Not here, where unwinding would leave our own things undone: the monitor comes back. */
        monitor_look_again(self->worker);
    }
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_PREEMPT))
        preempt_due(self);
}

void worker_read_mask(struct fiber *self)
{
    struct worker *w = self->worker;
    /* They differ when the fiber has come here from another worker and not left the runtime yet. */
    if (w->sigmask == self->sigmask) {
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &self->sigmask, 8);
        w->sigmask = self->sigmask;
        sched_signal_ops.unblocked(self->sigmask);
    }
    worker_in_handler(self, (uintptr_t)__builtin_frame_address(0));
}

bool worker_in_handler(struct fiber *self, uintptr_t sp)
{
    uintptr_t handler = self->handler_sp;
    if (!(load_relaxed(&self->attention) & ATTENTION_HANDLER))
        return false;
    bool sp_alt = on_alternate_stack(self, sp), handler_alt = on_alternate_stack(self, handler);
    if (sp_alt == handler_alt ? sp <= handler : !handler_alt)
        return true;
    self->handler_sp = 0; /* its frame is gone */
    self->no_cancel = false;
    store_relaxed(&self->nopreempt, load_relaxed(&self->nopreempt) & (uint16_t)~NOPREEMPT_LIBC);
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_HANDLER, memory_order_relaxed);
    return false;
}

/* An idle worker takes the signals that some fiber takes: the kernel gives a process-directed signal to
 * any thread that has it unblocked. */
void worker_idle_signals(struct worker *w)
{
    if (unlikely(w->alt_sp))
        disable_alt(w);
    if (!sched_signal_ops.everyone_blocks)
        return;
    for (;;) {
        volatile uint64_t *mine = &w->sigmask;
        uint64_t mask = sched_signal_ops.everyone_blocks(), before = *mine;
        if (before == mask)
            return;
        /* Told before it is so: who blocks something now either sees this and waits for us, or was
         * faster, which the second look shows. */
        *mine = before & mask;
        fence_seq(); /* partner: the store of stale in everyone_blocked */
        if (sched_signal_ops.everyone_blocks() == mask) {
            sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
            *mine = mask; /* then: who waits for it must not be too early */
            return;
        }
        *mine = before;
    }
}

void worker_look(struct worker *w)
{
    store_relaxed(&w->signals, 1);
    atomic_fetch_or_explicit(&w->wake, WAKE_SIGNAL, memory_order_release);
    sched_poller->wake(w);
}

void worker_block_signals(struct worker *w)
{
    uint64_t mask = ~(1ull << 32); /* but signal 33: setuid waits for every kernel thread */
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    *(volatile uint64_t *)&w->sigmask = mask; /* then, as above */
}

/* A proc for which no kernel thread could be had. Whoever went to sleep meanwhile may have relied on the
 * one that was to come: wake a sleeper in its place. */
static void proc_give_back(struct proc *p)
{
    struct worker *w = NULL;
    struct runq_batch b = { 0 };
    for (struct fiber *f; (f = runq_get(&p->runq));)
        batch_add(&b, f);
    if (b.count)
        globq_put(&b); /* its timers: the monitor (run_orphans) */
    lock_acquire(&sched.lock);
    store_relaxed(&p->worker, NULL);
    proc_release_locked(p);
    for (struct proc **link = &sched.idle; *link; link = &(*link)->idle_next) {
        struct proc *q = *link;
        if (!(w = load_relaxed(&q->worker)))
            continue;
        *link = q->idle_next;
        sub_seq(&sched.nidle, 1);
        store_relaxed(&q->status, PROC_RUNNING);
        worker_give_locked(w, q);
        break;
    }
    lock_release(&sched.lock);
    if (w)
        sched_poller->wake(w);
}

/* A worker that found no ring: none is made before this time, or each wake-up would try again. */
#define RETRY_AFTER (200 * NSEC_PER_MSEC)
static _Atomic uint64_t retry_at;
static _Atomic uint32_t said_no_poller, said_no_thread;

/* Structs on sched.workers whose kernel thread or ring could not be had, for the next try; through next,
 * under sched.lock. */
static struct worker *unused;

static struct worker *unused_get(void)
{
    lock_acquire(&sched.lock);
    struct worker *w = unused;
    if (w)
        unused = w->next;
    lock_release(&sched.lock);
    return w;
}

static void unused_put(struct worker *w)
{
    w->ktid = 0; /* the kernel may give it to another thread, libc the address of its TCB */
    w->tp = 0;
    lock_acquire(&sched.lock);
    w->next = unused;
    unused = w;
    lock_release(&sched.lock);
}

/* Entry of workers other than 0. */
static void *worker_main(void *arg)
{
    struct worker *w = arg;
    tcb_leave_rseq();
    w->tp = arch_tp_get();
    w->ktid = (uint32_t)sys_call(SYS_gettid);
    worker_block_signals(w); /* worker_start did so; until a fiber runs, or all sleep */
    if (sched_poller->open(w)) {
        store_relaxed(&retry_at, timer_now() + RETRY_AFTER);
        if (load_relaxed(&sched.no_worker))
            say_once(
                &said_no_poller,
                "a worker could not set up its poller (locked-memory limit?); fewer threads can "
                "block in system calls at once");
        unused_put(w);
        atomic_fetch_sub_explicit(&sched.nworkers, 1, memory_order_relaxed);
        maker_started();
        return NULL;
    }
    store_release(&w->alive, 1);
    schedule_spare(w);
}

/* A new worker, for the spare list. Returns 0 or -errno. */
int worker_start(void)
{
    uint32_t n = add_relaxed(&sched.nworkers, 1) + 1;
    pthread_attr_t attr;
    pthread_t thread;
    int err = EAGAIN;
    struct worker *w = NULL;
    bool soon = load_relaxed(&retry_at) && timer_now() < load_relaxed(&retry_at);
    if (n <= sched.max_workers && !soon && !(w = unused_get()) && (w = worker_make()))
        worker_publish(w);
    if (w) {
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, WORKER_STACK + tcb_room());
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        /* A signal handler must not find a worker that it cannot recognise. */
        uint64_t all = ~0ull, before;
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
        if (options.debug_fail != FAIL_CLONE)
            err = libc_real.pthread_create(&thread, &attr, worker_main, w);
        sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
        pthread_attr_destroy(&attr);
    }
    if (err) {
        if (w)
            unused_put(w);
        atomic_fetch_sub_explicit(&sched.nworkers, 1, memory_order_relaxed);
        if (load_relaxed(&sched.no_worker) && !soon)
            say_once(
                &said_no_thread,
                "no kernel thread for a worker (limit reached); threads that are ready wait for "
                "the existing ones");
        return -err;
    }
    uint32_t most = load_relaxed(&sched.most_workers);
    while (n > most && !cas_release(&sched.most_workers, &most, n))
        ;
    return 0;
}

/* Gives a RUNNING proc without holder to a spare worker. There is nearly always one; else the proc is idle
 * until the maker has one. */
void handoff_proc(struct proc *p)
{
    lock_acquire(&sched.lock);
    struct worker *w = sched.spare;
    if (w) {
        sched.spare = w->next;
        worker_give_locked(w, p);
    } else {
        store_relaxed(&sched.no_worker, true);
    }
    bool last = !sched.spare;
    lock_release(&sched.lock);
    if (w)
        sched_poller->wake(w);
    else
        proc_give_back(p);
    if (last)
        maker_call();
}

/* ---- worker 0 ---- */

static struct worker *worker0;

static void worker0_main(void)
{
    worker_run_post(worker0);
    schedule(worker0);
}

/* Makes the calling kernel thread worker 0 with a scheduler stack and a TCB of its own, and the
 * calling fiber the one it runs. */
static int worker0_start(struct fiber *main_fiber, struct proc *p)
{
    struct worker *w = worker_make();
    size_t size = WORKER_STACK + ALIGN_UP(tcb_room(), 4096);
    char *slot = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!w || slot == MAP_FAILED)
        return -ENOMEM;
    char *top = slot + size - ALIGN_UP(tcb_room(), 4096);
    w->tp = tcb_make(slot + size);
    if (!w->tp)
        return -ENOMEM;
    w->ktid = (uint32_t)sys_call(SYS_gettid);
    tcb_describe(w->tp, slot, size, 0, w->ktid);
    tcb_leave_rseq();
    int err = sched_poller->open(w);
    if (err)
        return err;
    stack_t alt = { .ss_flags = SS_DISABLE };
    sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &w->sigmask, 8);
    sys_call(SYS_sigaltstack, NULL, &alt);
    main_fiber->sigmask = w->sigmask;
    if (!(alt.ss_flags & SS_DISABLE)) {
        main_fiber->alt_sp = w->alt_sp = alt.ss_sp;
        main_fiber->alt_size = alt.ss_size;
        main_fiber->alt_flags = alt.ss_flags & ~SS_ONSTACK;
    }
    sched_main_fiber = main_fiber;
    worker0 = w;
    w->sched_sp = arch_stack_init(top, worker0_main);
    w->proc = p;
    store_relaxed(&p->worker, w);
    store_relaxed(&p->status, PROC_RUNNING);
    store_relaxed(&w->cur, main_fiber);
    store_relaxed(&w->in_runtime, 0);
    store_relaxed(&w->alive, 1);
    add_relaxed(&sched.nworkers, 1);
    store_relaxed(&sched.most_workers, 1);
    worker_publish(w);
    main_fiber->worker = w;
    store_relaxed(&main_fiber->state, FIBER_RUNNING);
    /* Its CPU time so far is this kernel thread's. */
    w->acct = main_fiber;
    w->acct_tid = main_fiber->tid;
    w->acct_proc = p;
    w->acct_cpu = thread_cpu(w->ktid);
    store_relaxed(&main_fiber->cpu, w->acct_cpu);
    return 0;
}

int sched_start(uint32_t nprocs, uint32_t max_workers, struct fiber *main_fiber,
                uint32_t (*count)(void))
{
    uint32_t room = count ? MAX_PROCS : nprocs; /* address space, until they are used */
    size_t size = ALIGN_UP(room * sizeof(struct proc), 4096);
    struct proc *procs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                              0);
    if (procs == MAP_FAILED)
        return -ENOMEM;
    sched.nprocs = nprocs;
    sched.room = room;
    store_relaxed(&sched.proc_cap, nprocs);
    follow_start(count);
    sched.max_workers = max_workers;
    sched.procs = procs;
    share_start();
    for (uint32_t i = 0; i < nprocs; i++) {
        procs[i].id = i;
        timer_heap_init(&procs[i].timers);
    }
    /* On failure everything made so far is unreachable again: the caller stays with kernel threads. */
    uint32_t first = 0;
    int err;
    if (main_fiber) {
        err = worker0_start(main_fiber, &procs[0]);
        if (err)
            return err;
        first = 1;
    }
    lock_acquire(&sched.lock);
    for (uint32_t i = nprocs; i-- > first;)
        proc_release_locked(&procs[i]);
    lock_release(&sched.lock);
    store_release(&sched.active, true);
    return monitor_start();
}

/* Only the calling kernel thread exists in a fork's child; everything about the others is void. */
void sched_after_fork(void)
{
    unused = NULL;
    if (sched_poller)
        sched_poller->after_fork();
    account_after_fork();
    reader_after_fork();
    maker_after_fork();
    memset(&sched, 0, sizeof sched);
}
