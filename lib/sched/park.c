/* Park, ready, yield: the fiber's side of the scheduler.
 *
 * Who calls: every waiting primitive, on the fiber's stack, inside the runtime. The switch goes
 * straight to the next fiber when the proc has one; the scheduler stack is visited when it has none
 * and every LOCAL_PASS switches, which is when timers, the global queue and the poller are looked
 * at.
 *
 * The handshake. A parker (1) takes the lock of its wait object, (2) queues itself there, (3) saves
 * its registers by switching, and only then (4) the next context on this worker releases the lock.
 * A waker takes the lock, finds the fiber queued, removes it, and makes it ready: it can therefore
 * never run a fiber whose registers are not saved, and a wake-up that comes before (1) is seen by
 * the parker's own check under the lock. A kernel-thread fiber runs step (4) itself before it waits
 * on its word; the word was cleared before (2). Modelled in test/model/park.pml: execute() is (1) to (4),
 * ready() the waker. */
#include "sched/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <time.h>
#include "arch/syscall.h"

void sched_release_lock(struct worker *w, void *lock)
{
    (void)w;
    lock_release(lock);
}

/* Switches from self to next, or to the scheduler when next is NULL. */
static inline void switch_from(struct fiber *self, struct fiber *next,
                               void (*post)(struct worker *, void *), void *arg)
{
    struct worker *w = self->worker;
    if (unlikely(w->alt_sp))
        worker_drop_alt(w);
    w->post = post;
    w->post_arg = arg;
    if (next) {
        next->worker = w;
        store_relaxed(&next->state, FIBER_RUNNING);
        store_relaxed(&w->cur, next);
        arch_switch(&self->sp, next->sp, next->tp);
    } else {
        store_relaxed(&w->cur, NULL);
        arch_switch(&self->sp, w->sched_sp, w->tp);
    }
    worker_run_post(self->worker); /* read again: it may be another worker now */
}

/* The next fiber of this proc without leaving the fiber's stack; NULL: let the scheduler look. */
static inline struct fiber *next_local(struct proc *p)
{
    uint32_t tick = load_relaxed(&p->tick) + 1;
    store_relaxed(&p->tick, tick);
    p->stats.switches++;
    if (unlikely(tick % LOCAL_PASS == 0))
        return NULL;
    return runq_get(&p->runq);
}

/* A kernel-thread fiber waits on its own word. Returns false when the deadline passed first. A handler
 * that interrupts the wait is put off (KERNEL_LOOK), and whoever parked decides as for any fiber. */
static bool kernel_wait(struct fiber *self, uint64_t deadline)
{
    struct timespec ts = { (time_t)(deadline / NSEC_PER_SEC), (long)(deadline % NSEC_PER_SEC) };
    for (;;) {
        uint32_t word = load_acquire(&self->kernel_word); /* partner: fiber_ready's release */
        if (word & KERNEL_READY)
            return true;
        if (word) {
            /* A signal waits for this thread to leave the runtime: end the park if that may be. */
            atomic_fetch_and_explicit(&self->kernel_word, ~KERNEL_LOOK, memory_order_relaxed);
            fiber_interrupt(NULL, self);
            continue;
        }
        long r = sys_call(SYS_futex, &self->kernel_word, FUTEX_WAIT_BITSET_PRIVATE, 0,
                          deadline == TIMER_NEVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
        if (r == -ETIMEDOUT)
            return load_acquire(&self->kernel_word) & KERNEL_READY;
    }
}

void runtime_enter_direct(struct fiber *self)
{
    if (load_relaxed(&self->flags) & FIBER_VFORK)
        return; /* the memory is the parent's */
    store_relaxed(&self->inside, 1);
    fence_compiler(); /* against this thread's own signal handlers */
}

void runtime_leave_direct(struct fiber *self)
{
    if (load_relaxed(&self->flags) & FIBER_VFORK)
        return;
    fence_compiler();
    store_relaxed(&self->inside, 0);
    fence_compiler();
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_SIGNAL))
        sched_signal_ops.deliver(self);
}

/* The fiber is about to let others on its worker. */
void fiber_before_others(struct fiber *self)
{
    if (load_relaxed(&self->flags) & FIBER_DIRECT)
        return;
    if (load_relaxed(&self->attention) & ATTENTION_HANDLER)
        worker_read_mask(self);
    if (load_relaxed(&self->attention) & ATTENTION_ACCOUNT)
        account_stop(self);
}

struct expire_now {
    void (*post)(struct worker *, void *);
    void (*expire)(struct worker *, void *);
    void *arg;
};

static void post_and_expire(struct worker *w, void *arg)
{
    struct expire_now e = *(struct expire_now *)arg; /* on the fiber's stack: read before it runs */
    if (e.post)
        e.post(w, e.arg);
    e.expire(w, e.arg);
}

void fiber_park(struct fiber *self, enum park_reason reason, const void *object,
                void (*post)(struct worker *, void *), void *arg)
{
    fiber_park_until(self, reason, object, post, arg, TIMER_NEVER, NULL);
}

void fiber_park_until(struct fiber *self, enum park_reason reason, const void *object,
                      void (*post)(struct worker *, void *), void *arg, uint64_t deadline,
                      void (*expire)(struct worker *, void *))
{
    self->park_reason = (uint8_t)reason;
    self->park_object = object;
    if (unlikely(load_relaxed(&self->attention) & (ATTENTION_HANDLER | ATTENTION_ACCOUNT)))
        fiber_before_others(self);
    if (unlikely(load_relaxed(&self->flags) & FIBER_DIRECT)) {
        if (post)
            post(NULL, arg);
        if (!kernel_wait(self, deadline)) {
            expire(NULL, arg);
            kernel_wait(self, TIMER_NEVER);
        }
        store_relaxed(&self->kernel_word, 0);
        return;
    }
    struct proc *p = self->worker->proc;
    p->stats.parks[reason]++;
    store_relaxed(&self->state, FIBER_PARKED);
    if (deadline == TIMER_NEVER) {
        switch_from(self, next_local(p), post, arg);
        return;
    }
    struct timer t = { .when = deadline, .fire = expire, .arg = arg };
    if (timer_arm(&p->timers, &t)) {
        /* No memory for the heap: the deadline passes at once rather than never. */
        struct expire_now e = { post, expire, arg };
        switch_from(self, next_local(p), post_and_expire, &e);
        return;
    }
    switch_from(self, next_local(p), post, arg);
    timer_disarm(&t);
}

/* ---- ending a park early ----
 *
 * The parker publishes its interruption before the switch, the interrupter takes it by exchange and
 * calls expire while BUSY stands in its place; the parker, resumed by whomever, takes it back and
 * waits while it is BUSY, so the record on its stack outlives the call. expire itself decides under
 * the wait object's lock who was first; that lock is held until the parker's registers are saved.
 * Modelled in test/model/interrupt.pml. */

struct interruption {
    void (*expire)(struct worker *, void *);
    void *arg;
};
static struct interruption busy;

struct interrupt_now {
    struct expire_now now;
    struct fiber *fiber;
};

static void post_and_interrupt(struct worker *w, void *arg)
{
    struct interrupt_now e = *(struct interrupt_now *)arg;
    if (e.now.post)
        e.now.post(w, e.now.arg);
    e.now.expire(w, e.now.arg);
    store_release(&e.fiber->interruption, NULL); /* partner: the parker's wait for BUSY */
}

/* Something is to be looked at; whether it ends this park. */
static bool ends_early(struct fiber *self, enum park_reason reason)
{
    uint32_t attention = load_relaxed(&self->attention);
    if (attention & ATTENTION_MOVE && (self->temporary || reason == PARK_SIGNAL))
        return true;
    if (!(attention & (ATTENTION_SIGNAL | ATTENTION_CANCEL)))
        return false;
    return attention & ATTENTION_SIGNAL || !(PARK_NO_POINTS >> reason & 1) ||
           sched_cancel_ops.anywhere(self);
}

bool fiber_park_interruptible(struct fiber *self, enum park_reason reason, const void *object,
                              void (*post)(struct worker *, void *), void *arg, uint64_t deadline,
                              void (*expire)(struct worker *, void *))
{
    struct interruption i = { expire, arg }, *mine = &i;
    store_relaxed(&self->interrupted, 0);
    self->handled = 0;
    store_release(&self->interruption, &i); /* partner: the exchange in fiber_interrupt */
    fence_compiler();                       /* partner: the barrier of whoever set attention */
    if (unlikely(load_relaxed(&self->attention) &
                 (ATTENTION_SIGNAL | ATTENTION_CANCEL | ATTENTION_MOVE)) &&
        ends_early(self, reason) && cas_acquire(&self->interruption, &mine, &busy)) {
        /* Interrupted before it parked, by what came since the program made the call. */
        struct interrupt_now e = { { post, expire, arg }, self };
        store_relaxed(&self->interrupted, 1);
        fiber_park_until(self, reason, object, post_and_interrupt, &e, TIMER_NEVER, NULL);
    } else {
        fiber_park_until(self, reason, object, post, arg, deadline, expire);
        mine = &i;
        cas_acquire(&self->interruption, &mine, NULL);
    }
    for (unsigned round = 0; unlikely(load_acquire(&self->interruption) == &busy); round++)
        lock_relax(round);
    return load_relaxed(&self->interrupted);
}

bool fiber_interrupt(struct worker *w, struct fiber *f)
{
    struct interruption *i = load_acquire(&f->interruption);
    if (!i || i == &busy ||
        !atomic_compare_exchange_strong_explicit(&f->interruption, &i, &busy, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    store_relaxed(&f->interrupted, 1);
    i->expire(w, i->arg);
    store_release(&f->interruption, NULL); /* partner: the parker's wait for BUSY */
    return true;
}

void sched_deliver(struct proc *to, struct fiber *f)
{
    if (load_relaxed(&f->flags) & FIBER_KERNEL) {
        fiber_ready(NULL, f);
        return;
    }
    store_relaxed(&f->state, FIBER_RUNNABLE);
    if (to) {
        proc_put(to, f);
        return;
    }
    struct runq_batch b = { 0 };
    batch_add(&b, f);
    globq_put(&b);
}

void fiber_ready(struct worker *w, struct fiber *f)
{
    if (unlikely(load_relaxed(&f->flags) & FIBER_KERNEL)) {
        store_release(&f->kernel_word, KERNEL_READY); /* partner: kernel_wait */
        sys_call(SYS_futex, &f->kernel_word, FUTEX_WAKE_PRIVATE, 1);
        return;
    }
    if (unlikely(!w || !w->proc)) {
        sched_deliver(NULL, f);
        add_relaxed(&sched.foreign_readies, 1);
        sched_wake_one();
        return;
    }
    store_relaxed(&f->state, FIBER_RUNNABLE);
    struct proc *p = w->proc;
    struct fiber *displaced = runq_put_next(&p->runq, f);
    if (displaced)
        proc_put(p, displaced);
    /* One fiber that will run as soon as this one parks is no reason to wake a worker; more are. */
    if (displaced || !runq_ring_empty(&p->runq)) {
        fence_seq(); /* partner: the fence between going idle and the last look at the queues */
        if (load_relaxed(&sched.nidle) && !load_relaxed(&sched.nspinning))
            sched_wake_one();
    }
}

void fiber_start(struct worker *w, struct fiber *f)
{
    fiber_ready(w, f);
}

/* Post action of a yield: the fiber's registers are saved, queue it. */
static void requeue(struct worker *w, void *arg)
{
    struct fiber *f = arg;
    store_relaxed(&f->state, FIBER_RUNNABLE);
    proc_put(w->proc, f);
}

static void requeue_global(struct worker *w, void *arg)
{
    if (w->hog) {
        w->hog = false;
        requeue_hog(w, arg);
        return;
    }
    sched_deliver(NULL, arg);
    if (w->blocker)
        sched_wake_one();
}

void fiber_yield(struct fiber *self)
{
    struct worker *w = runtime_enter(self);
    if (!w) {
        runtime_leave(self);
        sys_call(SYS_sched_yield);
        return;
    }
    if (unlikely(load_relaxed(&self->attention) & (ATTENTION_HANDLER | ATTENTION_ACCOUNT)))
        fiber_before_others(self);
    struct proc *p = w->proc;
    struct fiber *next = next_local(p);
    if (next || !runq_empty(&p->runq)) { /* next is NULL when it is time for the scheduler */
        switch_from(self, next, requeue, self);
        runtime_leave(self);
        return;
    }
    /* Alone on this proc. Yield loops spin, so every so often the scheduler takes a full look at
     * timers, poller and the global queue; else the kernel may run another process. */
    bool look = ++self->yield_count % 8 == 0 || load_relaxed(&sched.nglobal);
    if (look)
        fiber_reschedule(self, requeue);
    runtime_leave(self);
    if (!look)
        sys_call(SYS_sched_yield);
}

void fiber_let_others(struct fiber *self)
{
    self->served = 0;
    struct worker *w = runtime_enter(self);
    bool queued = w && w->proc && !runq_empty(&w->proc->runq);
    if (queued || (w && w->proc && sched_poller->stuck(w))) {
        if (unlikely(load_relaxed(&self->attention) & (ATTENTION_HANDLER | ATTENTION_ACCOUNT)))
            fiber_before_others(self);
        if (queued)
            switch_from(self, next_local(w->proc), requeue, self);
        else
            fiber_reschedule(self, requeue);
    }
    runtime_leave(self);
}

/* The scheduler takes a full look: poller and global queue too. */
void fiber_reschedule(struct fiber *self, void (*post)(struct worker *, void *))
{
    struct proc *p = self->worker->proc;
    uint32_t tick = load_relaxed(&p->tick);
    store_relaxed(&p->tick, tick + LOCAL_PASS - tick % LOCAL_PASS);
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_ACCOUNT))
        account_stop(self);
    switch_from(self, NULL, post, self);
}

_Noreturn void fiber_switch_away(struct fiber *self, struct fiber *next,
                                 void (*post)(struct worker *, void *), void *arg)
{
    struct proc *p = self->worker->proc;
    if (!next)
        next = next_local(p);
    else
        p->stats.switches++;
    switch_from(self, next, post, arg);
    __builtin_unreachable();
}

/* The proc was taken away while the fiber ran the program's code (or the attempt is under way). */
static struct worker *wait_turn(struct fiber *self)
{
    struct worker *w = self->worker;
    lock_acquire(&w->retake_lock); /* waits for the monitor's decision */
    sys_call(SYS_getpid);          /* what was sent to this fiber finds it here: worker_hold */
    bool taken = w->proc == NULL;
    store_relaxed(&w->retake, chaos_on);
    lock_release(&w->retake_lock);
    if (!taken)
        return w;
    if (!w->blocker) {
        lock_acquire(&sched.lock);
        bool got = proc_take_idle_locked(w);
        lock_release(&sched.lock);
        if (got)
            return w;
    }
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_ACCOUNT))
        account_stop(self);
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_HANDLER))
        worker_read_mask(self);
    /* Every proc is busy: queue up like everybody else. The worker becomes a spare, or goes back to
     * its own loop if it only runs blocking calls. */
    switch_from(self, NULL, requeue_global, self);
    return self->worker;
}

struct worker *runtime_enter_slow(struct fiber *self)
{
    struct worker *w = wait_turn(self);
    if (likely(!chaos_on))
        return w;
    chaos_inside(self);
    return self->worker;
}
