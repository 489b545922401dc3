/* What the scheduler's files share with each other, and with no other room. */
#ifndef SCHED_INTERNAL_H
#define SCHED_INTERNAL_H

#include "sched/sched.h"

#define LOCAL_PASS 61u /* switches between two looks at the global queue, timers and poller */

/* ---- sched.c ---- */

void schedule(struct worker *w) __attribute__((noreturn));
/* First thing of a worker without a proc: it is a spare. */
void schedule_spare(struct worker *w) __attribute__((noreturn));
void worker_give_locked(struct worker *w, struct proc *p);

/* ---- proc.c; _locked: sched.lock is held ---- */

void globq_put(struct runq_batch *b);
struct fiber *globq_get(struct proc *p, uint32_t most);
struct fiber *proc_next(struct worker *w, struct proc *p);
void proc_put(struct proc *p, struct fiber *f);
void proc_release_locked(struct proc *p);
bool proc_take_idle_locked(struct worker *w);
bool proc_reclaim_locked(struct proc *p);
/* Whether there is an idle proc, and a CPU for it. */
static inline bool sched_room(void)
{
    uint32_t idle = load_relaxed(&sched.nidle);
    return idle && load_relaxed(&sched.nprocs) - idle < load_relaxed(&sched.proc_cap);
}
/* Whether more procs run than CPUs may be used. */
static inline bool sched_over(void)
{
    uint32_t idle = load_relaxed(&sched.nidle), n = load_relaxed(&sched.nprocs);
    return n > idle && n - idle > load_relaxed(&sched.proc_cap);
}

/* ---- worker.c ---- */

/* A spare worker more, or -errno. */
int worker_start(void);
/* Gives a proc that nobody holds, and that is marked as running, to a spare worker. */
void handoff_proc(struct proc *p);
/* The kernel thread's alternate stack becomes the fiber's, or none. */
void worker_set_alt(struct fiber *self);
void worker_drop_alt(struct worker *w);
/* Whether a signal handler of the program's runs on the fiber whose stack pointer is sp. */
bool worker_in_handler(struct fiber *self, uintptr_t sp);
/* Before it sleeps: it takes the signals for the process that some fiber takes. */
void worker_idle_signals(struct worker *w);

/* ---- park.c ---- */

/* Lets others run: the calling fiber, inside the runtime, goes where post puts it. */
void fiber_reschedule(struct fiber *self, void (*post)(struct worker *, void *));
/* Does before that what a park does. */
void fiber_before_others(struct fiber *self);

/* ---- preempt.c ---- */

/* A signal of the monitor's has interrupted the fiber outside the runtime, and everything is blocked:
 * true: it was to stop, has let others run, and is inside the runtime again, maybe on another worker.
 * False: nothing happened, or it will stop later. */
bool preempt_here(struct fiber *self, struct worker *w, void *ucontext);
/* The same inside the runtime. */
void preempt_later(struct fiber *self, struct worker *w);
/* Monitor: how long a fiber may run while others wait, ns; 0: for ever. */
extern uint64_t preempt_slice;
void preempt_start(void);
/* Monitor: stops what w runs now, or later. False: that cannot be done. */
bool preempt_request(struct worker *w, struct proc *p);
/* On a scheduler stack: the oldest fiber that used up its slice. */
struct fiber *preempted_get(struct proc *p, bool must);
/* Post action: the fiber's registers are saved. */
void requeue_hog(struct worker *w, void *fiber);

/* ---- account.c ---- */

/* The monitor's part before accounting is switched on. */
void account_look(struct worker *w);
void account_after_fork(void);

/* ---- chaos.c ---- */

uint64_t chaos_seed(uint32_t id);
/* Inside the runtime with a proc, just entered. */
void chaos_inside(struct fiber *self);
/* Outside, just left. */
void chaos_leaving(struct fiber *self);
/* The monitor. */
void chaos_look(struct worker *w);

/* ---- how many procs run: follow.c, share.c ---- */

void follow_start(uint32_t (*count)(void));
void follow_look(uint64_t now);
void share_start(void);
void share_look(uint64_t now);
/* Whether one more proc may run. */
static inline bool share_room(void)
{
    return load_relaxed(&sched.nprocs) - load_relaxed(&sched.nidle) <
           load_relaxed(&sched.proc_limit);
}

/* ---- kernel threads: monitor.c, maker.c, reader.c, names.c ---- */

int monitor_start(void);
/* The worker that the maker made is on the list, or has come to nothing. */
void maker_started(void);
void maker_after_fork(void);
/* Writes a small file, text ended by 0, on the reader. The monitor. */
void reader_write(const char *path, char *text, size_t n);
void reader_start(void);
void reader_after_fork(void);
/* At the start, and at each look at a worker. */
void names_start(void);
void names_look(struct worker *w);

#endif
