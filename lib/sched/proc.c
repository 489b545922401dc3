/* Procs: their idle list, the global queue, and taking a proc from a worker.
 *
 * Invariants: a RUNNING proc has exactly one holder; an IDLE one is on sched.idle and may have a
 * sleeping worker attached (proc->worker) that takes it back by itself when its ring wakes it.
 * Functions named _locked need sched.lock. Callers are inside the runtime, on a scheduler stack,
 * or the monitor. */
#include "sched/internal.h"

#include <linux/membarrier.h>
#include <time.h>
#include "arch/syscall.h"

void proc_put(struct proc *p, struct fiber *f)
{
    struct runq_batch overflow = { 0 };
    runq_put(&p->runq, f, &overflow);
    if (unlikely(overflow.count))
        globq_put(&overflow);
}

void globq_put(struct runq_batch *b)
{
    lock_acquire(&sched.lock);
    if (sched.global_last)
        sched.global_last->next = b->first;
    else
        sched.global_first = b->first;
    sched.global_last = b->last;
    store_relaxed(&sched.nglobal, load_relaxed(&sched.nglobal) + b->count);
    lock_release(&sched.lock);
}

/* A fair share of the queue but at most so many: one is the answer, the others go to p's ring. Not those that
 * used up their slice. */
struct fiber *globq_get(struct proc *p, uint32_t most)
{
    if (load_relaxed(&sched.nglobal) == load_relaxed(&sched.nhogs))
        return NULL;
    lock_acquire(&sched.lock);
    uint32_t have = load_relaxed(&sched.nglobal) - load_relaxed(&sched.nhogs);
    uint32_t n = have / sched.nprocs + 1, room = runq_room(&p->runq);
    if (n > most)
        n = most;
    if (n > have)
        n = have;
    if (n > room + 1)
        n = room + 1;
    struct fiber *first = n ? sched.global_first : NULL, *f = first;
    for (uint32_t i = 0; i < n; i++) {
        struct fiber *next = f->next;
        if (i) {
            struct runq_batch none = { 0 };
            runq_put(&p->runq, f, &none); /* there is room */
        }
        f = next;
    }
    if (n) {
        sched.global_first = f;
        if (!f)
            sched.global_last = NULL;
        store_relaxed(&sched.nglobal, load_relaxed(&sched.nglobal) - n);
    }
    lock_release(&sched.lock);
    return first;
}

void proc_release_locked(struct proc *p)
{
    store_relaxed(&p->status, PROC_IDLE);
    p->idle_next = sched.idle;
    sched.idle = p;
    add_seq(&sched.nidle, 1); /* partner: fiber_ready's fence; see schedule() */
}

static void unlink_idle_locked(struct proc **link, struct proc *p)
{
    *link = p->idle_next;
    store_relaxed(&p->status, PROC_RUNNING);
    sub_seq(&sched.nidle, 1);
}

/* Gives w an idle proc: one without a sleeping worker if there is one; else the sleeper loses its
 * proc and becomes a spare where it sleeps. */
bool proc_take_idle_locked(struct worker *w)
{
    struct proc **best = NULL;
    if (load_relaxed(&sched.nprocs) - load_relaxed(&sched.nidle) >= load_relaxed(&sched.proc_cap))
        return false;
    for (struct proc **link = &sched.idle; *link; link = &(*link)->idle_next)
        if (!best || !load_relaxed(&(*link)->worker))
            best = link;
    if (!best)
        return false;
    struct proc *p = *best;
    struct worker *sleeper = load_relaxed(&p->worker);
    unlink_idle_locked(best, p);
    if (sleeper) {
        sleeper->proc = NULL;
        sleeper->next = sched.spare;
        sched.spare = sleeper;
    }
    w->proc = p;
    store_relaxed(&p->worker, w);
    return true;
}

/* A sleeper wakes by itself: takes its own proc back unless it was given away. */
bool proc_reclaim_locked(struct proc *p)
{
    for (struct proc **link = &sched.idle; *link; link = &(*link)->idle_next)
        if (*link == p) {
            unlink_idle_locked(link, p);
            return true;
        }
    return false;
}

/* Makes every running thread of the process execute a full barrier. */
void sched_barrier(void)
{
    if (sched.membarrier) {
        sys_call(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    } else {
        /* Kernel without it, or denied: store buffers drain in well under this time. */
        struct timespec ts = { 0, 200000 };
        sys_call(SYS_nanosleep, &ts, NULL);
    }
}

/* Takes the proc of a worker that runs the program's code or sits in a system call. Asymmetric
 * Dekker: the worker stores in_runtime and loads retake without a fence; we store retake, make the
 * kernel put a barrier into every running thread of the process, and load in_runtime. Either we see
 * 1 and give up, or the worker sees retake before it touches its proc and waits for our lock.
 * Modelled in test/model/retake.pml: transitions "retake" and, for runtime_enter, "enter". Returns the
 * proc, which is the caller's then, or NULL. */
struct proc *proc_retake(struct worker *w)
{
    struct proc *taken = NULL;
    lock_acquire(&w->retake_lock);
    struct proc *p = w->proc;
    if (p && !load_relaxed(&w->in_runtime)) {
        store_seq(&w->retake, 1);
        sched_barrier();
        if (load_acquire(&w->in_runtime) || w->proc != p) {
            store_relaxed(&w->retake, chaos_on);
        } else {
            w->proc = NULL;
            store_relaxed(&p->worker, NULL);
            taken = p;
        }
    }
    lock_release(&w->retake_lock);
    return taken;
}

/* The same without taking the proc: while the lock is held f computes, or sits in a system call, but does
 * not come past runtime_enter. retake stays set, so that it goes by wait_turn then, which makes a system
 * call: at its end the kernel delivers what was sent. A blocker's retake is always set. */
bool worker_hold(struct worker *w, struct fiber *f)
{
    lock_acquire(&w->retake_lock);
    uint32_t before = load_relaxed(&w->retake);
    if (!w->blocker)
        store_seq(&w->retake, 1);
    sched_barrier();
    if (!load_acquire(&w->in_runtime) && load_relaxed(&w->cur) == f)
        return true;
    if (!w->blocker)
        store_relaxed(&w->retake, before);
    lock_release(&w->retake_lock);
    return false;
}

void worker_let_go(struct worker *w)
{
    lock_release(&w->retake_lock);
}
