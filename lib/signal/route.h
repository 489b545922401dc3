/* Notes on their way to a fiber: what the files of lib/signal are to each other. */
#ifndef SIGNAL_ROUTE_H
#define SIGNAL_ROUTE_H

#include "signal/note.h"
#include "signal/signal.h"

/* No mask that a fiber can have: SIGKILL cannot be blocked. */
#define ENDED_MASK (~0ull)
#define FAULTS                                                                                     \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGILL) |          \
     SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGSYS))
#define STOPS (SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
/* Timers that count CPU time belong to who spends it, and failed writes to the writer. */
#define NOT_FOR_MAIN                                                                               \
    (SIGNAL_BIT(SIGPROF) | SIGNAL_BIT(SIGVTALRM) | SIGNAL_BIT(SIGPIPE) | SIGNAL_BIT(SIGXFSZ))

/* ---- pending.c ---- */

/* The next note of a set of signals in the kernel's order, taken off the list, or NULL. For the fiber itself. */
struct note *signal_next(struct fiber *self, uint64_t set);
/* Adds a note. False: it is pending already, and ordinary signals do not queue; the note is gone. */
bool signal_keep(struct fiber *f, struct note *n);
/* Of a fiber that does not take it any more: what was for the process goes to somebody else, by way of w,
 * or of another worker if w is one that does not look. */
void signal_forward(struct worker *w, struct note *n);

/* ---- route.c ---- */

/* Chooses a thread for a worker's note. cur: what the calling worker runs. Inside the runtime or on a
 * scheduler stack. */
void signal_hand_out(struct worker *w, struct fiber *cur, struct note *n);
/* The same for all notes of the worker: a sched_signal_op. */
void signal_drain(struct worker *w, struct fiber *cur);
/* Gives a signal for the process to a fiber that takes it. False: nobody does, the note is the caller's. On
 * a thread that runs no handlers and holds no lock. */
bool signal_route(struct note *n);
/* Whether a fiber takes the signal now. */
bool signal_taken(uint64_t bit);
/* The main thread, if it is a thread of ours that takes the signal. */
struct fiber *signal_main_takes(uint64_t bit);
/* Makes the kernel thread look at its fiber's notes: the signal itself, marked. */
void signal_kick(uint32_t ktid, int sig);
/* Makes a signal that this kernel thread blocks pending for the process, as it was. */
void signal_give_back(siginfo_t *info);

/* ---- raise.c ---- */

/* Room in what the kernel keeps of a siginfo that has no meaning for signals which are sent: there a fiber
 * marks what it raises on itself, which is for nobody else, with which of its notes it is. */
extern char signal_raised_mark;
static inline uint64_t *mark_place(siginfo_t *info)
{
    return (uint64_t *)((char *)info + 40);
}
static inline uint64_t mark_of(const struct note *n)
{
    return (uint64_t)(uintptr_t)&signal_raised_mark << 32 | (uint32_t)n->sequence;
}
static inline bool was_raised(siginfo_t *info)
{
    return *mark_place(info) >> 32 == (uint32_t)(uintptr_t)&signal_raised_mark;
}

/* Raises the notes of the calling fiber that its mask lets through. Outside the runtime. */
void signal_deliver(struct fiber *self);
/* Raises what is next of the set. True: its handler has run. False: there is none, or it arrives when the
 * frame is gone that we are called from. */
bool signal_raise_next(struct fiber *self, uint64_t set);
/* The same for a fiber that has its kernel thread for itself: one kick for each number that is pending. */
void signal_deliver_direct(struct fiber *self);
/* What is raised becomes a note that waits again. Async-signal-safe. */
void signal_again(struct fiber *self);
/* After a note of the set was taken: no kick for it comes any more. With `raised` set, or on a thread that
 * blocks the set. */
void signal_kicks_gone(struct fiber *self, uint64_t set);
/* Has come, or been taken from the kernel, while no handler may run. False: there is no room. */
bool signal_put_by(struct worker *w, struct fiber *self, const siginfo_t *info, bool directed);
/* sched_signal_ops. */
void signal_not_raised(struct fiber *self);
void signal_deliver_over(struct fiber *self, const void *ucontext);
void signal_ended(struct fiber *self);

/* ---- temporary.c ---- */

/* A sched_signal_op. */
void signal_sweep(void);

/* Whether the signal stops the process: its action is the default. */
bool signal_stops(int sig);
/* Stops the process, on the calling kernel thread; returns when it is continued. */
void signal_stop(const siginfo_t *info);

#endif
