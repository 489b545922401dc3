/* Carriers: see carrier.h.
 *
 * The hand-over. A fiber that moves parks, and the next context gives it to the carrier, as to a
 * blocker: nobody but the carrier can find it, and its registers are saved. The carrier marks it
 * bound before it resumes it. The mark changes how the fiber parks and is made ready; both happen
 * under the lock of a wait object that the fiber is not queued on now, so no waker can see it half
 * done. Who sends it a signal meanwhile stores the note, makes all CPUs pass a barrier and reads the
 * mark; carrier_arrived stores the mark, executes a fence and reads the notes: one sees the other.
 *
 * A struct worker of a carrier is never unmapped, as others may still look at what a fiber's worker
 * field named; the carriers that ended are reused. The free list's lock is taken where no handler runs. */
#include "handoff/carrier.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "arch/syscall.h"
#include "handoff/handoff.h"
#include "libc/tcb.h"

#define CARRIER_STACK (64 * 1024)

static struct lock lock;
static struct worker *free_list; /* through worker->next */

static void *carrier_main(void *arg)
{
    struct worker *w = arg;
    tcb_leave_rseq();
    w->tp = arch_tp_get();
    worker_block_signals(w);
    while (!(load_acquire(&w->wake) & WAKE_PROC)) /* partner: tell */
        sys_call(SYS_futex, &w->wake, FUTEX_WAIT_PRIVATE, 0, NULL);
    struct fiber *f = w->mail;
    if (f) {
        f->worker = w;
        store_relaxed(&f->state, FIBER_RUNNING);
        atomic_fetch_or_explicit(&f->flags, FIBER_KERNEL | FIBER_BOUND, memory_order_seq_cst);
        store_relaxed(&w->cur, f);
        arch_switch(&w->sched_sp, f->sp, f->tp);
        store_relaxed(&w->cur, NULL);
        worker_run_post(w); /* of carrier_leave: the fiber may be gone after it */
    }
    lock_acquire(&lock);
    w->next = free_list;
    free_list = w;
    lock_release(&lock);
    return NULL;
}

static void make(void *arg)
{
    struct worker *w;
    lock_acquire(&lock);
    if ((w = free_list))
        free_list = w->next;
    lock_release(&lock);
    if (w) {
        store_relaxed(&w->wake, 0);
        w->mail = NULL;
        w->alt_sp = NULL;
        w->named = false;
    } else if (!(w = worker_make())) {
        return;
    } else {
        w->carrier = w->blocker = true;
        worker_publish(w);
    }
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CARRIER_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    uint64_t all = ~0ull, before;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    int err = libc_real.pthread_create(&thread, &attr, carrier_main, w);
    if (!err)
        w->ktid = tcb_tid((uintptr_t)thread); /* it waits for us, so it is there */
    pthread_attr_destroy(&attr);
    if (err) {
        lock_acquire(&lock);
        w->next = free_list;
        free_list = w;
        lock_release(&lock);
        w = NULL;
    }
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    *(struct worker **)arg = w;
}

struct worker *carrier_make(bool inherit)
{
    struct worker *w = NULL;
    struct fiber *self = fiber_self;
    bool fiber = self && !(load_relaxed(&self->flags) & FIBER_DIRECT);
    uint64_t all = ~(1ull << 32), before; /* but signal 33: setuid waits for every kernel thread */
    if (fiber)
        handoff_enter(self); /* the maker may wait for others */
    /* No handler: it might not come back, and what the maker is to do lies on our stack. */
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    if (inherit)
        make(&w);
    else
        maker_do(make, &w); /* a fiber's waits inside libc may end on another kernel thread */
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    if (fiber)
        handoff_leave(self);
    return w;
}

static void tell(struct worker *c, struct fiber *f)
{
    c->mail = f;
    store_release(&c->wake, WAKE_PROC); /* partner: carrier_main */
    sys_call(SYS_futex, &c->wake, FUTEX_WAKE_PRIVATE, 1);
}

void carrier_dismiss(struct worker *c)
{
    tell(c, NULL);
}

void carrier_run(struct worker *c, struct fiber *f)
{
    store_relaxed(&f->state, FIBER_RUNNABLE);
    tell(c, f);
}

/* Post action: the fiber's registers are saved. */
static void give(struct worker *w, void *arg)
{
    struct fiber *f = arg;
    (void)w;
    tell(load_relaxed(&f->carrier), f);
}

void carrier_move(struct fiber *self)
{
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_MOVE, memory_order_relaxed);
    if (!load_acquire(&self->carrier) || load_relaxed(&self->flags) & FIBER_DIRECT)
        return;
    runtime_enter(self);
    add_relaxed(&sched.moves, 1);
    fiber_park(self, PARK_SYSCALL, NULL, give, self);
    runtime_leave(self);
    carrier_arrived(self);
}

void carrier_arrived(struct fiber *self)
{
    struct worker *w = self->worker;
    account_stop(self);
    account_start(self);
    if (self->alt_sp) {
        stack_t alt = { .ss_sp = self->alt_sp,
                        .ss_size = self->alt_size,
                        .ss_flags = self->alt_flags };
        sys_call(SYS_sigaltstack, &alt, NULL);
        w->alt_sp = self->alt_sp;
    }
    if (self->name[0] && !w->named)
        sys_call(SYS_prctl, PR_SET_NAME, self->name);
    fence_seq(); /* partner: the barrier of a sender (lib/signal) */
    if (load_relaxed(&self->notes))
        sched_signal_ops.deliver(self); /* pending from here on, like any other */
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_CANCEL) &&
        sched_cancel_ops.anywhere(self))
        monitor_look_again(w);
    /* In a call with a mask of its own everything stays blocked, for the system call that comes. */
    uint64_t mask = self->temporary ? ~0ull : self->sigmask;
    w->sigmask = mask;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
}

_Noreturn void carrier_leave(struct fiber *self, void (*post)(struct worker *, void *))
{
    struct worker *w = self->worker;
    w->post = post;
    w->post_arg = self;
    arch_switch(&self->sp, w->sched_sp, w->tp);
    __builtin_unreachable();
}

void carrier_init(void)
{
    sched_move = carrier_move;
}

void carrier_after_fork(void)
{
    lock_init(&lock);
    free_list = NULL;
}
