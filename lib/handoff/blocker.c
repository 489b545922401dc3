/* Kernel threads for calls that block long: they have no ring, so nobody's completions wait behind
 * the call, and no proc, so nothing has to be taken from them.
 *
 * A fiber that enters such a call while requests are in flight on its worker's ring parks, and the
 * next context hands it to a blocker, which resumes it there. The blocker's `retake` stays set while
 * it runs the fiber, so the fiber's next entry into the runtime, normally when the call returns,
 * puts it on the global queue and the blocker is free again.
 *
 * handoff_block_enter runs on fibers; blocker_main on the blocker's own stack. Blockers are kept: a
 * program that once had N calls blocked at a time will again. */
#include "handoff/handoff.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "base/option.h"
#include "libc/tcb.h"

#define BLOCKER_STACK (64 * 1024)

static struct lock lock;
static struct worker *idle; /* through worker->next */

struct assignment {
    struct fiber *fiber;
    struct worker *blocker;
};

static _Noreturn void *blocker_main(void *arg)
{
    struct worker *w = arg;
    tcb_leave_rseq();
    w->tp = arch_tp_get();
    w->ktid = (uint32_t)sys_call(SYS_gettid);
    worker_block_signals(w);
    worker_publish(w);
    for (;;) {
        while (!(load_acquire(&w->wake) & WAKE_PROC)) /* partner: give */
            sys_call(SYS_futex, &w->wake, FUTEX_WAIT_PRIVATE, 0, NULL);
        store_relaxed(&w->wake, 0);
        struct fiber *f = w->mail;
        f->worker = w;
        store_relaxed(&f->state, FIBER_RUNNING);
        store_relaxed(&w->retake, 1);
        store_relaxed(&w->cur, f);
        arch_switch(&w->sched_sp, f->sp, f->tp);
        worker_run_post(w);
        /* Nothing for the program is delivered here; sleeping workers are there for that. */
        worker_block_signals(w);
        worker_drain(w);
        lock_acquire(&lock);
        w->next = idle;
        idle = w;
        lock_release(&lock);
    }
}

static struct worker *blocker_get(void)
{
    lock_acquire(&lock);
    struct worker *w = idle;
    if (w)
        idle = w->next;
    lock_release(&lock);
    if (w)
        return w;
    if (load_relaxed(&sched.nworkers) >= sched.max_workers || !(w = worker_make()))
        return NULL;
    w->blocker = true;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, BLOCKER_STACK + tcb_room());
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    uint64_t all = ~0ull, before;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    int err = EAGAIN;
    if (options.debug_fail != FAIL_CLONE)
        err = libc_real.pthread_create(&thread, &attr, blocker_main, w);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
    pthread_attr_destroy(&attr);
    if (err) {
        munmap(w, ALIGN_UP(sizeof *w, 4096));
        return NULL;
    }
    uint32_t n = add_relaxed(&sched.nworkers, 1) + 1, most = load_relaxed(&sched.most_workers);
    while (n > most && !cas_release(&sched.most_workers, &most, n))
        ;
    return w;
}

/* Post action: the fiber's registers are saved. */
static void give(struct worker *w, void *arg)
{
    struct assignment a = *(struct assignment *)arg; /* on the fiber's stack: read before it runs */
    (void)w;
    a.blocker->mail = a.fiber;
    store_release(&a.blocker->wake, WAKE_PROC); /* partner: blocker_main */
    sys_call(SYS_futex, &a.blocker->wake, FUTEX_WAKE_PRIVATE, 1);
}

void handoff_block_enter(struct fiber *self)
{
    if (self->worker->blocker || !sched_poller->busy(self->worker))
        handoff_enter(self);
    else
        handoff_move_enter(self);
}

void handoff_move_enter(struct fiber *self)
{
    handoff_enter(self);
    if (self->worker->blocker)
        return;
    runtime_enter(self); /* a signal handler may come here too: not while the list is locked */
    struct worker *b = blocker_get();
    if (!b) {
        runtime_leave(self);
        return; /* no thread: the call blocks the worker, which the monitor deals with */
    }
    add_relaxed(&sched.moves, 1);
    struct assignment a = { self, b };
    fiber_park(self, PARK_SYSCALL, NULL, give, &a);
    runtime_leave(self);
}

void handoff_after_fork(void)
{
    lock_init(&lock);
    idle = NULL;
}
