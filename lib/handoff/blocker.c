/* Kernel threads for calls that block long: they have no ring, so nobody's completions wait behind
 * the call, and no proc, so nothing has to be taken from them.
 *
 * A fiber that enters such a call while requests are in flight on its worker's ring, or where there are
 * workers enough, parks, and the next context hands it to a blocker, which resumes it there. The
 * blocker's `retake` stays set while it runs the fiber, so the fiber's next entry into the runtime,
 * normally when the call returns, puts it on the global queue and the blocker is free again.
 *
 * handoff_block_enter runs on fibers; blocker_main on the blocker's own stack; make_wanted on the maker,
 * since libc's pthread_create may wait for a fiber (sched/maker.c). Who wants a blocker waits for it
 * outside the runtime, where the proc can be taken, and keeps nothing that a signal handler could leave
 * behind by siglongjmp: whoever comes first takes a blocker off the idle list. A few idle blockers are
 * kept, because who blocked before will again; the others end after a while. The struct worker of one that
 * ended is used again: others may still look at what a fiber's worker field named. */
#include "handoff/handoff.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include "arch/syscall.h"
#include "base/option.h"
#include "libc/tcb.h"

#define BLOCKER_STACK (64 * 1024)
#define IDLE_SECONDS  2
#define MORE_WORKERS  4 /* than procs: beyond that, blockers */

static struct lock lock;
static struct worker *idle, *gone; /* through worker->next; gone: without a kernel thread */
static _Atomic uint32_t count;     /* of those that live */
static _Atomic uint32_t wanted;    /* more than there are */
static _Atomic uint32_t answers;   /* a futex: changes when one has been made, or could not be */
static _Atomic bool refused;       /* the last one */

struct assignment {
    struct fiber *fiber;
    struct worker *blocker;
};

/* Takes w off the idle list, if it is there, and there are more of them than procs. */
static bool retire(struct worker *w)
{
    struct worker **found = NULL;
    uint32_t n = 0;
    lock_acquire(&lock);
    for (struct worker **p = &idle; *p; p = &(*p)->next, n++)
        if (*p == w)
            found = p;
    bool ends = found && n > load_relaxed(&sched.nprocs);
    if (ends) {
        *found = w->next;
        store_relaxed(&w->cur, NULL);
        w->ktid = 0; /* the kernel may give it to another thread, libc the address of its TCB */
        w->tp = 0;
        w->alt_sp = NULL;
        w->shown[0] = 0;
        w->next = gone;
        gone = w;
        atomic_fetch_sub_explicit(&sched.nworkers, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
    }
    lock_release(&lock);
    return ends;
}

/* Waits until a fiber was given. False: not needed any more. One that stays waits without a timeout from
 * then on: idle programs use no CPU. */
static bool wait_for_fiber(struct worker *w)
{
    struct timespec while_idle = { IDLE_SECONDS, 0 }, *timeout = &while_idle;
    while (!(load_acquire(&w->wake) & WAKE_PROC)) /* partner: give */
        if (sys_call(SYS_futex, &w->wake, FUTEX_WAIT_PRIVATE, 0, timeout) == -ETIMEDOUT) {
            if (retire(w))
                return false;
            timeout = NULL;
        }
    store_relaxed(&w->wake, 0);
    return true;
}

static void *blocker_main(void *arg)
{
    struct worker *w = arg;
    tcb_leave_rseq();
    w->tp = arch_tp_get();
    w->ktid = (uint32_t)sys_call(SYS_gettid);
    worker_block_signals(w);
    if (!w->blocker) {
        w->blocker = true;
        worker_publish(w);
    }
    while (wait_for_fiber(w)) {
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
    return NULL;
}

static struct worker *idle_one(void)
{
    lock_acquire(&lock);
    struct worker *w = idle;
    if (w)
        idle = w->next;
    lock_release(&lock);
    return w;
}

/* A new blocker, on the idle list. */
static bool make(void)
{
    struct worker *w = NULL;
    bool room = load_relaxed(&sched.nworkers) < sched.max_workers;
    lock_acquire(&lock);
    if (room && (w = gone))
        gone = w->next;
    lock_release(&lock);
    if (!room || (!w && !(w = worker_make())))
        return false;
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
        lock_acquire(&lock);
        w->next = gone;
        gone = w;
        lock_release(&lock);
        return false;
    }
    add_relaxed(&count, 1);
    uint32_t n = add_relaxed(&sched.nworkers, 1) + 1, most = load_relaxed(&sched.most_workers);
    while (n > most && !cas_release(&sched.most_workers, &most, n))
        ;
    lock_acquire(&lock);
    w->next = idle;
    idle = w;
    lock_release(&lock);
    return true;
}

static void make_wanted(void)
{
    for (uint32_t n = xchg_acqrel(&wanted, 0); n; n--) {
        store_relaxed(&refused, !make());
        add_seq(&answers, 1); /* partner: ask */
        sys_call(SYS_futex, &answers, FUTEX_WAKE_PRIVATE, INT32_MAX);
    }
}

/* Outside the runtime, in an announced call. False: none is to be had. */
static bool ask(void)
{
    uint32_t before = load_seq(&answers); /* partner: make_wanted */
    add_seq(&wanted, 1);
    if (!maker_call())
        make_wanted();
    while (load_seq(&answers) == before)
        sys_call(SYS_futex, &answers, FUTEX_WAIT_PRIVATE, before, NULL);
    return !load_relaxed(&refused);
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

/* A worker that blocks is replaced by another, and workers stay for good, as their rings do. */
static bool enough_workers(void)
{
    return load_relaxed(&sched.nworkers) - load_relaxed(&count) >=
           load_relaxed(&sched.nprocs) + MORE_WORKERS;
}

void handoff_block_enter(struct fiber *self)
{
    if (self->worker->blocker || (!sched_poller->busy(self->worker) && !enough_workers()))
        handoff_enter(self);
    else
        handoff_move_enter(self);
}

void handoff_move_enter(struct fiber *self)
{
    handoff_enter(self);
    if (self->worker->blocker)
        return;
    struct worker *b;
    for (;;) {
        runtime_enter(self); /* a signal handler may come here too: not while the list is locked */
        if ((b = idle_one()))
            break;
        runtime_leave(self);
        if (!ask())
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
    idle = gone = NULL;
    store_relaxed(&count, 0);
    store_relaxed(&wanted, 0);
}

__attribute__((constructor)) static void start(void)
{
    maker_also = make_wanted;
}
