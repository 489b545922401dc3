/* The scheduler.
 *
 * Vocabulary: a fiber (Go's G) is one pthread of the program; a worker (M) is a kernel thread of
 * ours; a proc (P) is the right to run fibers. There are RADDLE_PROCS procs, and as many workers as
 * are needed to have one for each proc besides those that sit in blocking system calls.
 *
 * Where runnable fibers are: in their proc's `next` slot, in its ring, or in the global queue. Where
 * parked ones are: on a wait object (lib/sync, lib/thread), in a worker's ring (lib/poller), in a
 * timer heap. find_runnable looks at: due timers; every LOCAL_PASS switches the poller and the
 * global queue; next and ring; the global queue; the poller if the kernel has news; the other
 * procs (take half). Then the worker sleeps in its ring.
 *
 * Who wakes whom. Waking a worker costs a system call and, on a busy machine, a kernel context
 * switch, so fiber_ready wakes one only when something besides the next fiber is queued, and only
 * when no worker is searching already ("spinning"). A worker that finds work while it is the last
 * searcher wakes another one, so a burst spreads. Completions that arrive on a sleeping worker's
 * ring while another worker is awake are few most of the time: they are given to the global queue
 * and the worker sleeps on, which keeps the fibers where the caches are warm and the machine's other
 * CPUs free. The monitor wakes a worker when queued fibers wait although procs are idle, so neither
 * economy can starve anybody.
 *
 * No wake-up is lost: a worker going to sleep first puts its proc on the idle list (seq_cst
 * increment of nidle) and then looks at every queue once more; who queues a fiber first queues it
 * and then (seq_cst fence) looks at nidle. One of the two sees the other. Modelled in test/model:
 * park.pml (worker: "sleep_idle", ready(), wake_one()) and sleep.pml (who holds the proc).
 *
 * A proc never waits for a worker that is blocked: the monitor takes it (proc.c, proc_retake) and
 * hands it to a spare worker. The blocked worker's ring stays its own; a worker without a proc
 * sleeps in its ring as a spare and passes completions to the global queue.
 *
 * Rejected: a separate poller thread (28 us instead of 12 us of CPU per echo with one connection:
 * two more context switches each); a shared ring under a lock (twice the cost at one connection);
 * always waking a worker in ready, as Go does (create 1.5-3x, condition round trip 1.2-2x slower).
 *
 * Everything here runs on scheduler stacks, with the worker's own thread pointer, inside the
 * runtime: nothing may use the program's TLS, malloc, or an intercepted function. */
#include "sched/internal.h"

#include "arch/syscall.h"
#include "base/log.h"

struct sched sched;
const struct poller_ops *sched_poller;

/* ---- waking ---- */

/* Gives p, which the caller took off the idle list, to a sleeping worker. In the same section of
 * sched.lock, so that a sleeper that wakes by itself finds its proc either idle or given. The caller
 * then ends the sleep with sched_poller->wake. */
void worker_give_locked(struct worker *w, struct proc *p)
{
    w->proc = p;
    store_relaxed(&p->worker, w);
    atomic_fetch_or_explicit(&w->wake, WAKE_PROC, memory_order_release); /* partner: worker_woken */
}

static bool worker_woken(struct worker *w)
{
    if (!(load_acquire(&w->wake) & WAKE_PROC)) /* partner: worker_give_locked */
        return false;
    atomic_fetch_and_explicit(&w->wake, ~WAKE_PROC, memory_order_relaxed);
    return true;
}

void sched_wake_one(void)
{
    uint32_t none = 0;
    if (!load_relaxed(&sched.nidle) || !share_room() || !cas_seq(&sched.nspinning, &none, 1))
        return;
    lock_acquire(&sched.lock);
    struct proc *p = NULL, **link = NULL;
    /* A sleeper with a proc of its own is cheapest to wake. */
    for (struct proc **l = &sched.idle; *l; l = &(*l)->idle_next) {
        if (!link || load_relaxed(&(*l)->worker))
            link = l;
        if (load_relaxed(&(*l)->worker))
            break;
    }
    struct worker *w = NULL;
    bool last = false;
    if (link) {
        p = *link;
        *link = p->idle_next;
        sub_seq(&sched.nidle, 1);
        store_relaxed(&p->status, PROC_RUNNING);
        w = load_relaxed(&p->worker);
        if (!w && sched.spare) {
            w = sched.spare;
            sched.spare = w->next;
            last = !sched.spare;
        }
        if (w) {
            w->spinning = true;
            worker_give_locked(w, p);
        }
    }
    lock_release(&sched.lock);
    if (w) {
        sched_poller->wake(w);
        if (unlikely(last))
            maker_call();
        return;
    }
    sub_seq(&sched.nspinning, 1);
    if (p)
        handoff_proc(p);
}

static void stop_spinning(struct worker *w)
{
    if (!w->spinning)
        return;
    w->spinning = false;
    sub_seq(&sched.nspinning, 1);
}

/* The worker found something to run: if nobody else searches, somebody should. */
static void found_work(struct worker *w)
{
    if (!w->spinning)
        return;
    stop_spinning(w);
    struct proc *p = w->proc;
    if (!runq_ring_empty(&p->runq) || load_relaxed(&sched.nglobal))
        sched_wake_one();
}

/* ---- searching ---- */

static uint32_t next_random(struct worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 17;
    w->random ^= w->random << 5;
    return w->random;
}

static struct fiber *steal(struct worker *w)
{
    struct proc *p = w->proc;
    uint32_t n = sched.nprocs;
    if (n == 1)
        return NULL;
    if (!w->spinning) {
        /* At most half of the busy procs search. */
        if (2 * load_relaxed(&sched.nspinning) >= n - load_relaxed(&sched.nidle) && n > 2)
            return NULL;
        w->spinning = true;
        add_seq(&sched.nspinning, 1);
    }
    for (int round = 0; round < 2; round++) {
        uint32_t start = next_random(w) % n;
        for (uint32_t i = 0; i < n; i++) {
            struct proc *victim = &sched.procs[(start + i) % n];
            if (victim == p)
                continue;
            /* The next slot is left to a holder that is awake; the monitor empties it if that takes
             * too long (move_next). */
            struct fiber *f = runq_steal(&p->runq, &victim->runq,
                                         round && load_relaxed(&victim->status) == PROC_IDLE);
            if (f) {
                p->stats.steals++;
                return f;
            }
        }
    }
    return NULL;
}

/* Completions were fetched: if what waits here now is worth a wake-up, somebody else should take some. */
static void spread(struct proc *p)
{
    if (load_relaxed(&sched.nidle) &&
        RUNQ_SIZE - runq_room(&p->runq) >= load_relaxed(&sched.backlog))
        sched_wake_one();
}

static bool work_anywhere(void)
{
    if (load_relaxed(&sched.nglobal))
        return true;
    for (uint32_t i = 0; i < sched.nprocs; i++)
        if (!runq_ring_empty(&sched.procs[i].runq))
            return true;
    return false;
}

/* On the spare list: wait until somebody gives us a proc, passing completions on meanwhile. */
static void sleep_on_spare_list(struct worker *w)
{
    worker_idle_signals(w);
    while (!worker_woken(w)) {
        if (unlikely(load_relaxed(&w->signals))) {
            worker_drain(w);
            worker_idle_signals(w);
        }
        if (sched_poller->poll(w, NULL, 1 << 20, true) > 0)
            sched_wake_one();
        sched_poller->sleep(w, TIMER_NEVER);
    }
}

static void sleep_as_spare(struct worker *w)
{
    lock_acquire(&sched.lock);
    bool got = load_relaxed(&sched.nglobal) && proc_take_idle_locked(w);
    if (!got) {
        w->next = sched.spare;
        sched.spare = w;
    }
    lock_release(&sched.lock);
    if (!got)
        sleep_on_spare_list(w);
}

enum woken { WOKEN_SLEEP_ON, WOKEN_RUN, WOKEN_SPARE };

/* After the ring woke the worker: may it go on? Under sched.lock. */
static enum woken woken_locked(struct worker *w, struct proc *p, bool *few)
{
    *few = false;
    if (worker_woken(w)) /* a waker made the proc ours again, or gave us another */
        return WOKEN_RUN;
    if (w->proc != p)
        return WOKEN_SPARE; /* somebody took the proc; we are on the spare list */
    int n = sched_poller->waiting(w);
    if (timer_now() < load_relaxed(&p->timers.first)) {
        if (n == 0)
            return WOKEN_SLEEP_ON;
        if (((uint32_t)n <= load_relaxed(&sched.few) || !share_room()) &&
            load_relaxed(&sched.nidle) < sched.nprocs) {
            *few = true;
            return WOKEN_SLEEP_ON;
        }
    }
    if (!proc_reclaim_locked(p))
        panic("a sleeping worker's proc is neither idle nor given");
    if (unlikely(sched_over()))
        store_relaxed(&sched.over, true); /* awake for its timers only */
    return WOKEN_RUN;
}

/* Gives the proc up and sleeps until there is something to do. Returns holding a proc. surplus: there
 * is something to do, but others do it. */
static void sleep_idle(struct worker *w, bool surplus)
{
    struct proc *p = w->proc;
    bool searching = w->spinning;
    worker_idle_signals(w);
    lock_acquire(&sched.lock);
    if (surplus ? !sched_over() : load_relaxed(&sched.nglobal) != 0) {
        lock_release(&sched.lock);
        return;
    }
    proc_release_locked(p);
    stop_spinning(w); /* here: a waker that takes the proc counts this worker as a searcher again */
    lock_release(&sched.lock);
    fence_seq(); /* partner: fiber_ready's fence, see the essay */
    bool look = !surplus && work_anywhere();
    for (;;) {
        if (look) {
            lock_acquire(&sched.lock);
            bool mine = w->proc == p && !(load_relaxed(&w->wake) & WAKE_PROC) &&
                        proc_reclaim_locked(p);
            lock_release(&sched.lock);
            if (mine) {
                if (searching) {
                    w->spinning = true;
                    add_seq(&sched.nspinning, 1);
                }
                return;
            }
        }
        /* A signal that comes later sets WAKE_SIGNAL, with which nobody sleeps. */
        if (unlikely(load_relaxed(&w->signals))) {
            worker_drain(w);
            worker_idle_signals(w);
            look = true;
            continue;
        }
        sched_poller->sleep(w, load_relaxed(&p->timers.first));
        bool few;
        lock_acquire(&sched.lock);
        enum woken what = woken_locked(w, p, &few);
        lock_release(&sched.lock);
        if (what == WOKEN_SPARE)
            sleep_on_spare_list(w);
        if (what != WOKEN_SLEEP_ON)
            break;
        if (few) {
            sched_poller->poll(w, NULL, 1 << 20, false);
            /* Whoever was awake may have gone to sleep before it could see them. */
            fence_seq();
            look = load_relaxed(&sched.nidle) >= sched.nprocs;
        } else {
            look = false;
        }
    }
    monitor_kick();
}

/* There are fewer CPUs for us than there were: passes on what waits for this proc, and sleeps. */
static void step_down(struct worker *w)
{
    struct runq_batch b = { 0 };
    for (struct fiber *f; (f = runq_get(&w->proc->runq));)
        batch_add(&b, f);
    if (b.count)
        globq_put(&b);
    sched_poller->poll(w, NULL, 1 << 20, true);
    stop_spinning(w);
    sleep_idle(w, true);
}

static struct fiber *find_runnable(struct worker *w)
{
    for (;;) {
        struct proc *p = w->proc;
        if (!p) {
            stop_spinning(w);
            sleep_as_spare(w);
            continue;
        }
        struct fiber *f;
        worker_drain(w);
        if (load_relaxed(&p->timers.first) != TIMER_NEVER)
            timer_run(&p->timers, w, timer_now());
        if (unlikely(load_relaxed(&sched.over)) && sched_over()) {
            step_down(w);
            continue;
        }
        if (load_relaxed(&p->tick) % LOCAL_PASS == 0) {
            /* First what waits in the global queue: the ring may have enough to fill ours. */
            if (!(f = preempted_get(p, false)))
                f = globq_get(p, LOCAL_PASS);
            sched_poller->poll(w, p, (int)runq_room(&p->runq), true);
            spread(p);
            if (f || (f = runq_get_oldest(&p->runq)))
                return f;
        }
        if ((f = runq_get(&p->runq)) || (f = globq_get(p, RUNQ_SIZE / 2)))
            return f;
        int n = sched_poller->poll(w, p, RUNQ_SIZE, false);
        if (n > 0) {
            spread(p);
            if ((f = runq_get(&p->runq)))
                return f;
        }
        if ((f = steal(w)))
            return f;
        /* A fiber that computes keeps the ring waiting: what is prepared goes to the kernel first. */
        if (load_relaxed(&sched.nhogs)) {
            if (sched_poller->poll(w, p, (int)runq_room(&p->runq), true) > 0)
                continue;
            if ((f = preempted_get(p, true)))
                return f;
        }
        sleep_idle(w, false);
    }
}

_Noreturn void schedule_spare(struct worker *w)
{
    lock_acquire(&sched.lock);
    /* no_worker is set under the lock. The proc that wanted one has timers, perhaps. */
    bool taken = load_relaxed(&sched.no_worker) && proc_take_idle_locked(w);
    store_relaxed(&sched.no_worker, false);
    if (!taken) {
        w->next = sched.spare;
        sched.spare = w;
    }
    maker_started();
    lock_release(&sched.lock);
    if (taken)
        maker_call(); /* there is no reserve yet */
    else
        sleep_on_spare_list(w);
    schedule(w);
}

_Noreturn void schedule(struct worker *w)
{
    for (;;) {
        struct fiber *f = find_runnable(w);
        found_work(w);
        struct proc *p = w->proc;
        store_relaxed(&p->tick, load_relaxed(&p->tick) + 1);
        p->stats.switches++;
        f->worker = w;
        store_relaxed(&f->state, FIBER_RUNNING);
        store_relaxed(&w->cur, f);
        arch_switch(&w->sched_sp, f->sp, f->tp);
        /* A fiber switched here: w is still ours, its proc may have changed. */
        worker_run_post(w);
    }
}
