/* The scheduler's types and the calls that the rooms above it make. The essay is in sched.c. */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "base/atomic.h"
#include "base/lock.h"
#include "fiber/fiber.h"
#include "sched/runq.h"
#include "sched/timer.h"

#define MAX_PROCS 256

struct worker;
struct ring;

/* Counted by the holder of a proc, summed for reports. */
struct proc_stats {
    uint64_t switches, steals, parks[PARK_REASON_COUNT];
};

enum proc_status { PROC_IDLE, PROC_RUNNING };

/* The right to run fibers. Held by at most one worker. */
struct proc {
    uint32_t id;
    _Atomic uint32_t tick; /* switches so far: the holder writes, the monitor reads */
    _Atomic uint32_t status;
    _Atomic(struct worker *) worker; /* holder, or the sleeping worker that will take it back */
    struct proc *idle_next;          /* sched.lock */
    struct runq runq;
    struct timer_heap timers;
    struct proc_stats stats;
    /* the monitor's notes */
    uint32_t seen_tick;
    uint64_t seen_since, seen_cpu;
    /* when it was first asked to stop: by the clock, its CPU time, how often it was put off */
    uint64_t asked_at, asked_cpu;
    uint32_t asked_put_off;
    uint64_t hog_at; /* when it last began or stopped running a fiber that computes: preempt.c */
} __attribute__((aligned(CACHE_LINE)));

#define WAKE_PROC   1u /* w->proc was given: run */
#define WAKE_MAIL   2u /* only for the poller: requests to cancel */
#define WAKE_SIGNAL 4u /* the worker took a signal while it ran no fiber */

/* A kernel thread of ours. Its scheduler stack runs schedule(). */
struct worker {
    void *sched_sp; /* registers of schedule() while a fiber runs */
    uintptr_t tp;   /* thread pointer of the scheduler stack */
    struct proc *proc;
    _Atomic(struct fiber *) cur; /* the fiber it runs; never dangling, fibers are not unmapped */
    /* What the next context does for the previous one, see sched.c. */
    void (*post)(struct worker *w, void *arg);
    void *post_arg;

    _Atomic uint32_t in_runtime; /* 1: its proc may not be taken away */
    _Atomic uint32_t retake;     /* the monitor wants or has its proc */
    struct lock retake_lock;
    _Atomic uint32_t wake; /* WAKE_ bits: nonzero ends its sleep; the poller waits on it */
    bool spinning;
    bool blocker; /* runs blocking calls only: no ring, never a proc (handoff/blocker.c) */
    bool
        carrier; /* runs one bound fiber, which is no business of the scheduler's (handoff/carrier.h) */
    bool named; /* a carrier whose kernel thread shows the fiber's name already */
    uint32_t id;
    uint32_t ktid;
    uint64_t sigmask; /* what the kernel has for this thread, or spoiled: see worker_spoil_mask */
    /* The monitor's notes for account_look. */
    struct fiber *acct;
    struct proc *acct_proc;
    uint32_t acct_tid, acct_tick;
    uint64_t acct_cpu;
    /* Signals that arrived inside the runtime (lib/signal), or something else to look at. */
    _Atomic(struct note *) notes;
    _Atomic uint64_t kicked; /* signals of which a kick was sent that it has not met yet */
    _Atomic uint32_t signals;
    void *alt_sp;
    uint32_t random;
    struct ring *ring;   /* the poller's */
    struct worker *next; /* spare list, sched.lock */
    struct worker *all;  /* every worker ever made; never unlinked */
    _Atomic uint32_t alive;
    struct lock mail_lock; /* requests to cancel, from other workers */
    void *mail;
    /* the monitor's notes: whom it saw last, and the name that the kernel has */
    struct fiber *seen;
    char shown[16];
    /* Preemption (preempt.c): what the monitor wants stopped, and its timer on this thread's CPU
     * time. */
    _Atomic uint64_t preempt;
    _Atomic uint32_t put_off; /* times that a fiber could not stop where it was */
    uint64_t seen_cpu;
    int timer;
    int8_t timer_state;
    bool hog;       /* its proc was taken because its fiber computes */
    uint64_t chaos; /* chaos.c: state of its generator */
} __attribute__((aligned(CACHE_LINE)));

struct sched {
    struct lock lock;
    struct proc *procs;
    _Atomic uint32_t nprocs;                  /* that exist; grows, never shrinks */
    uint32_t room;                            /* for so many in procs */
    struct proc *idle;                        /* list; lock */
    struct worker *spare;                     /* sleeping without a proc; lock */
    struct fiber *global_first, *global_last; /* lock */
    struct fiber *hogs_first, *hogs_last;     /* used up their slice; lock */
    _Atomic uint32_t nglobal;                 /* in both lists */
    _Atomic uint32_t nhogs;
    _Atomic uint32_t nidle;
    _Atomic uint32_t nspinning;
    _Atomic(struct worker *) workers; /* all of them, through worker->all */
    _Atomic uint32_t nworkers, most_workers;
    uint32_t max_workers;
    uint32_t next_worker_id;
    _Atomic uint64_t handoffs, foreign_readies, rescues, moves;
    _Atomic uint64_t preempts, preempts_put_off;
    _Atomic bool active;
    _Atomic uint32_t proc_cap;   /* CPUs that we may use: follow.c */
    _Atomic uint32_t proc_limit; /* procs that may run at once, at most proc_cap: share.c */
    _Atomic bool no_worker;      /* for an idle proc, when one was last wanted */
    _Atomic bool over;           /* more run than proc_cap: some worker is to stop */
    _Atomic bool brief;          /* fibers run only briefly at a time lately: share.c */
    /* Completions that a worker passes on instead of running them, and for which it wakes another: share.c */
    _Atomic uint32_t few, backlog;
    bool membarrier; /* the kernel orders other CPUs for us */
};
extern struct sched sched;

/* A wait on one futex word, or on n of them. */
struct futex_wait {
    const void *addr;            /* the word, or an array of the kernel's struct futex_waitv */
    uint32_t n;                  /* 0: one word */
    uint32_t value, bits, flags; /* flags: futex2's */
};
#define FUTEX_WORD_SHARED  2u /* 32 bits, seen by other processes */
#define FUTEX_WORD_PRIVATE (2u | 128u)

/* ---- what a backend for waiting on descriptors gives (poller/poller.h registers one) ---- */
struct poller_ops {
    const char *name;
    /* On a worker's own kernel thread, before it runs fibers. 0 or -errno. */
    int (*open)(struct worker *w);
    /* Takes up to max completions and queues their fibers on to, or on the global queue when to is
     * NULL (sched_deliver); returns how many. Enters the kernel only when it has news; flush: also
     * when requests are prepared. Owner only, inside the runtime. */
    int (*poll)(struct worker *w, struct proc *to, int max, bool flush);
    /* Waits until there is a completion, wake is set, or deadline (ns) passes. Owner only. */
    void (*sleep)(struct worker *w, uint64_t deadline);
    /* Ends sleep() of another worker after its wake word was set. Anyone. */
    void (*wake)(struct worker *w);
    /* Completions waiting to be taken, without entering the kernel. */
    int (*waiting)(struct worker *w);
    /* Monitor: completions or prepared requests exist that only w's kernel thread can move, and it
     * is busy elsewhere. */
    bool (*stuck)(struct worker *w);
    /* On w's kernel thread, in a signal handler, outside the runtime. */
    void (*rescue)(struct worker *w);
    /* Requests in flight: the worker may not end. */
    bool (*busy)(struct worker *w);
    /* futex(2)'s WAIT in the kernel, for words that others than we wake: parks the fiber. NULL: not
     * here. 0 (words: the index), -EAGAIN, -EFAULT, -EINVAL, -ETIMEDOUT, -EINTR. */
    long (*futex_wait)(struct fiber *self, const struct futex_wait *what, enum park_reason reason,
                       uint64_t deadline);
    /* poll may be called by a thread that is no worker (w NULL): the monitor does. */
    bool shared;
    void (*after_fork)(void);
};
extern const struct poller_ops *sched_poller;

/* ---- entering the runtime ----
 * Between runtime_enter and runtime_leave the fiber stays on its worker, which keeps its proc. May
 * reschedule the fiber before it returns (when the proc was taken away meanwhile), so call it
 * before touching shared state. NULL for kernel-thread fibers: no worker, no proc. */
struct worker *runtime_enter_slow(struct fiber *self);
/* The same for kernel-thread fibers: only signal handlers must wait. */
void runtime_enter_direct(struct fiber *self);
void runtime_leave_direct(struct fiber *self);

static inline struct worker *runtime_enter(struct fiber *self)
{
    if (unlikely(load_relaxed(&self->flags) & FIBER_DIRECT)) {
        runtime_enter_direct(self);
        return NULL;
    }
    struct worker *w = self->worker;
    store_relaxed(&w->in_runtime, 1);
    fence_compiler(); /* partner: the membarrier in proc_retake() */
    if (unlikely(load_relaxed(&w->retake)))
        return runtime_enter_slow(self);
    return w;
}

/* What lib/signal adds to the scheduler, which it stands above. */
struct sched_signal_ops {
    /* Takes care of w->notes; cur: the fiber that w runs, NULL on a scheduler stack. Inside the
     * runtime, touches no proc. */
    void (*drain)(struct worker *w, struct fiber *cur);
    /* On the fiber's stack outside the runtime: runs the handlers of its notes. */
    void (*deliver)(struct fiber *self);
    /* Whether a signal frame shows the program's code, where a handler may run. */
    bool (*may_interrupt)(const void *ucontext);
    /* The signals that no fiber takes. */
    uint64_t (*everyone_blocks)(void);
    /* The calling fiber unblocks what is not in mask, and has recorded it. */
    void (*unblocked)(uint64_t mask);
    /* On a fiber's stack outside the runtime, at its end. */
    void (*ended)(struct fiber *self);
    /* In a signal handler that blocks everything and may move the fiber, if it has raised something: so
     * that it does not stay behind, pending for the kernel thread. */
    void (*not_raised)(struct fiber *self);
    /* deliver, in such a handler. */
    void (*deliver_over)(struct fiber *self, const void *ucontext);
    /* The monitor: signals for the process that only parked fibers take, while no worker is idle. */
    void (*sweep)(void);
};
extern struct sched_signal_ops sched_signal_ops;

/* What lib/thread adds for fibers with ATTENTION_CANCEL. */
struct sched_cancel_ops {
    /* In a signal handler, outside the runtime: calls a blocking system call off, or does not return
     * if the fiber may be cancelled anywhere and the handler interrupted the program's code. */
    void (*arrived)(struct fiber *self, void *ucontext);
    /* Whether the fiber may be cancelled anywhere, and has been. */
    bool (*anywhere)(struct fiber *self);
    /* The signal on a thread that is libc's; self may be NULL. */
    void (*arrived_kernel)(struct fiber *self, void *siginfo, void *ucontext);
};
extern struct sched_cancel_ops sched_cancel_ops;
/* A wait in a function that is no cancellation point was interrupted, nothing is locked and the fiber in
 * no queue: a thread that may be cancelled anywhere is so here. */
static inline void sched_wait_interrupted(struct fiber *self)
{
    if (unlikely(load_relaxed(&self->attention) & ATTENTION_CANCEL) &&
        sched_cancel_ops.anywhere(self))
        pthread_testcancel();
}
/* Interrupts the fiber's kernel thread for that, if it runs. */
void sched_cancel_running(struct fiber *f);

/* Set by lib/handoff: takes the calling fiber, which has a carrier, to it. Outside the runtime. */
extern void (*sched_move)(struct fiber *self);
/* The fiber has something in attention that it should see soon: its kernel thread is interrupted if
 * it computes, and loses its proc if it sits in a call that was announced. Inside the runtime. */
void sched_nudge(struct fiber *f);

/* ---- CPU time of fibers (account.c) ---- */

/* The fiber's CPU time so far, ns. The first call switches exact accounting on. */
uint64_t account_read(struct fiber *f);
/* Begins and ends a stretch of running on a kernel thread. On the fiber. */
void account_start(struct fiber *self);
void account_stop(struct fiber *self);
/* A new fiber starts counting if the others do. */
void account_new(struct fiber *f);
uint64_t thread_cpu(uint32_t ktid);
/* Makes the kernel thread's signal mask and alternate stack those of the fiber, and sees to its
 * signals. */
void worker_take_signals(struct fiber *self);

/* Sends the next fiber that leaves the runtime on w through worker_take_signals. In w's signal
 * handlers. The bit is that of a signal which libc lets nobody block. */
static inline void worker_spoil_mask(struct worker *w)
{
    w->sigmask |= 1ull << 31;
}

/* The fiber has left a signal handler, maybe by siglongjmp, which sets the kernel's mask behind our
 * back: reads it. Before a fiber with ATTENTION_HANDLER lets others on its worker. */
void worker_read_mask(struct fiber *self);

static inline void runtime_leave(struct fiber *self)
{
    if (unlikely(load_relaxed(&self->flags) & FIBER_DIRECT)) {
        runtime_leave_direct(self);
        return;
    }
    struct worker *w = self->worker;
    store_release(&w->in_runtime, 0); /* partner: the monitor's read after its membarrier */
    fence_compiler();                 /* partner: the barrier in post (lib/signal/route.c) */
    /* Outside the runtime, because a signal that becomes deliverable runs the program's handler. */
    if (unlikely(self->sigmask != w->sigmask || self->alt_sp != w->alt_sp ||
                 load_relaxed(&self->attention)))
        worker_take_signals(self);
}

/* ---- park and ready (park.c) ---- */

/* Stops the calling fiber until fiber_ready(self). post(w, arg) runs on the next context once the
 * registers are saved, and is what lets others find the fiber (releases the lock it is queued
 * under). Inside the runtime; returns inside the runtime, maybe on another worker. */
void fiber_park(struct fiber *self, enum park_reason reason, const void *object,
                void (*post)(struct worker *, void *), void *arg);

/* The same with a deadline (ns of CLOCK_MONOTONIC): when it passes, expire(w, arg) is called once;
 * it either makes the fiber ready or finds that somebody else is about to. */
void fiber_park_until(struct fiber *self, enum park_reason reason, const void *object,
                      void (*post)(struct worker *, void *), void *arg, uint64_t deadline,
                      void (*expire)(struct worker *, void *));

/* The same, and fiber_interrupt may end it as if the deadline had passed. Returns true if it did. */
bool fiber_park_interruptible(struct fiber *self, enum park_reason reason, const void *object,
                              void (*post)(struct worker *, void *), void *arg, uint64_t deadline,
                              void (*expire)(struct worker *, void *));

/* Ends an interruptible park of f, now or not at all: a fiber that is not parked, or parks after
 * this, is not affected, so the caller first leaves a note that f looks at before it parks. w as for
 * fiber_ready. Returns whether f was parked interruptibly. f's struct must stay valid. */
bool fiber_interrupt(struct worker *w, struct fiber *f);

/* A receive found its data there at once. A connection whose peer answers while we are put aside (the
 * kernel lets it run when we send) would never park, and the others on this proc would wait for the end of its
 * slice: so every few of them others get a turn, if there are any. On the fiber, outside the runtime. */
#define SERVED_AT_ONCE 16
void fiber_let_others(struct fiber *self);
static inline void fiber_served(struct fiber *self)
{
    if (unlikely(++self->served >= SERVED_AT_ONCE))
        fiber_let_others(self);
}

/* Makes a parked fiber runnable. w: the caller's worker when inside the runtime or on a scheduler
 * stack, else NULL. Exactly one caller per park, the one that took it off its wait object. */
void fiber_ready(struct worker *w, struct fiber *f);

/* For completions and timers: to the end of to's queue, or of the global one when to is NULL; no
 * wake-up, no lock of the caller's matters. */
void sched_deliver(struct proc *to, struct fiber *f);

/* Lets others run. */
void fiber_yield(struct fiber *self);

/* Starts a fiber made by fiber_make: FREE -> RUNNABLE. */
void fiber_start(struct worker *w, struct fiber *f);

/* Last switch of an ending fiber: to next (already off its wait object) or to the scheduler. */
_Noreturn void fiber_switch_away(struct fiber *self, struct fiber *next,
                                 void (*post)(struct worker *, void *), void *arg);

/* ---- preemption (preempt.c) ---- */

/* libc keeps this number from programs for its own cancellation, which raddle replaces; on threads that
 * stay libc's, on_rescue does what libc's handler would. */
#define RESCUE_SIGNAL 32
/* Takes it, when libc has installed its handler for the last time. */
void rescue_install(void);
bool rescue_installed(void);

/* ATTENTION_PREEMPT is set and the fiber leaves the runtime, or a section without preemption. */
void preempt_due(struct fiber *self);

/* First thing on a new context: performs the previous context's post-switch action. */
static inline void worker_run_post(struct worker *w)
{
    void (*post)(struct worker *, void *) = w->post;
    if (post) {
        w->post = NULL;
        post(w, w->post_arg);
    }
}

/* ---- chaos (chaos.c) ---- */
extern bool chaos_on;
enum chaos_kind {
    CHAOS_YIELD,
    CHAOS_MIGRATE,
    CHAOS_HOG,
    CHAOS_DELAY,
    CHAOS_WAKE,
    CHAOS_POLL,
    CHAOS_PREEMPT,
    CHAOS_TAKE,
    CHAOS_KINDS
};
extern _Atomic uint64_t chaos_done[CHAOS_KINDS];
/* Before the first fiber is made. */
void chaos_start(void);
/* On the fiber, outside the runtime, at the entry of a call. */
void chaos_call(struct fiber *self);

/* ---- workers, for the rooms above (worker.c, proc.c, sched.c) ---- */

struct worker *worker_make(void);
/* Puts it on the list of all. */
void worker_publish(struct worker *w);
/* On its kernel thread: nothing arrives but what all kernel threads must take. */
void worker_block_signals(struct worker *w);
/* Whether f runs on w outside of the runtime. If so it stays there until worker_let_go, and takes what
 * signals w's kernel thread has got by then before it lets another fiber run. Between the two only a
 * signal may be sent. Inside the runtime, or the monitor. */
bool worker_hold(struct worker *w, struct fiber *f);
void worker_let_go(struct worker *w);
/* Wakes an idle worker, which looks at what is noted for it and at its mask again. */
void worker_look(struct worker *w);
static inline void worker_drain(struct worker *w)
{
    if (unlikely(load_relaxed(&w->signals)))
        sched_signal_ops.drain(w, NULL);
}
/* Takes the proc of a worker that is outside the runtime; NULL: it is inside. */
struct proc *proc_retake(struct worker *w);
/* Wakes a worker for an idle proc, unless some worker searches already. */
void sched_wake_one(void);
/* Every thread of the process that runs has passed a barrier. */
void sched_barrier(void);
void sched_release_lock(struct worker *w, void *lock); /* a ready-made post action */

/* ---- the kernel threads beside them (monitor.c, maker.c, reader.c, names.c) ---- */

/* The monitor's kernel thread: it has the attributes that the process gave its threads. */
uint32_t monitor_ktid(void);
/* Has the monitor look now; kick: if it sleeps deeply, else it will look by itself. */
void monitor_wake(void);
void monitor_kick(void);
/* The fiber that w runs has something to see and was met in our code, outside the runtime, where it cannot:
 * it may be about to block. The monitor interrupts it until it has come by. In handlers as well. */
void monitor_look_again(struct worker *w);
/* Runs job(arg) on the maker, a kernel thread with those attributes too, and waits until it has. Not on
 * the monitor, nor inside the runtime or holding a lock. */
void maker_do(void (*job)(void *), void *arg);
/* The spare list is empty. Anyone. False: there is no maker. */
bool maker_call(void);
/* What lib/handoff has the maker do besides, whenever it is called. */
extern void (*maker_also)(void);
/* The contents of a small file, ended by 0; the number of bytes or -errno. The monitor, and whoever
 * activates the runtime before there is a monitor. */
long reader_slurp(const char *path, char *buffer, size_t size);
/* A fiber has got a name: kernel threads show them from now on. */
void names_show(void);

/* ---- activation and fork ---- */

extern struct fiber *sched_main_fiber;
/* count: asked again by the monitor while the program runs, NULL: the number is fixed. */
int sched_start(uint32_t nprocs, uint32_t max_workers, struct fiber *main_fiber,
                uint32_t (*count)(void));
/* The last step of activation. */
void maker_start(void);
void sched_after_fork(void);

#endif
