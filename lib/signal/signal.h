/* Signals of the program: which thread gets one, and when its handler may run.
 *
 * Masks, what is pending for a thread, and the program's actions are kept here; the handlers run in
 * genuine kernel frames on the fiber's own stack (or its alternate one). */
#ifndef SIGNAL_SIGNAL_H
#define SIGNAL_SIGNAL_H

#include <signal.h>
#include "sched/sched.h"

#define SIGNAL_BIT(sig) (1ull << ((sig)-1))
/* Handlers that ran on a fiber since its last park began. */
#define HANDLED_RESTART 1u /* with SA_RESTART */
#define HANDLED_EINTR   2u /* without */

/* Once, in the constructor: libc's sigaction. */
void signal_init(int (*real_sigaction)(int, const struct sigaction *, struct sigaction *));
void signal_after_fork(void);

/* ---- action.c ---- */

/* sigaction(2); 0 or -1 with errno. Handlers are installed as ours. */
int signal_action(int sig, const struct sigaction *action, struct sigaction *old);
/* Whether the program has ever set a handler for sig. */
bool signal_has_handler(int sig);
/* The program's handler for sig, which the caller runs now: one with SA_RESETHAND is the default from here on.
 * NULL: there was never one. *flags: its SA_ flags. In a handler. */
typedef void signal_handler(int, siginfo_t *, void *);
signal_handler *signal_claim(int sig, int *flags);

/* ---- deliver.c ---- */

/* What the kernel calls for every handler of the program's. */
void signal_arrived(int sig, siginfo_t *info, void *ucontext);

/* ---- route.c ---- */

/* Makes a signal pending for f, and sees that it looks soon. Called outside the runtime on any
 * thread. 0 or -EAGAIN. */
int signal_send(struct fiber *f, const siginfo_t *info);

/* Sends a caught signal to the process: to a fiber that takes it, at once. False: none does, nothing was
 * done. Called outside the runtime. */
bool signal_process(struct fiber *self, const siginfo_t *info);

/* Whether info stands for a note that must be taken instead. */
bool signal_is_kick(const siginfo_t *info);

/* ---- raise.c ---- */

/* Changes the calling fiber's mask. Handlers of what becomes deliverable have run
 * when it returns. */
void signal_set_mask(struct fiber *self, uint64_t mask);
uint64_t signal_mask(struct fiber *self);

/* A wait for the signals of self->sigwait is over, on the kernel thread on which it was. */
void signal_wait_over(struct fiber *self);

/* A wait of self's was ended by fiber_interrupt. Whether to wait on: a handler without SA_RESTART, or
 * any handler if the call is not restartable, ends it with EINTR. */
bool restart_wait(struct fiber *self, bool restartable);

/* ---- pending.c ---- */

/* Takes the pending signal of the set that is next; false: none. */
bool signal_take(struct fiber *self, uint64_t set, siginfo_t *info);
/* The program ignores it from now on: what is pending for threads is no more. */
void signal_ignored(int sig);
/* Before sig is sent to a thread of ours, or by one: SIGCONT discards the signals that stop, and they SIGCONT. */
void signal_excludes(int sig);
/* The kernel has made a signal pending for this kernel thread that was meant for the calling fiber, which
 * blocks it: SIGPIPE and SIGXFSZ after a system call. */
void signal_adopt(struct fiber *self, int sig);

/* ---- temporary.c: a mask for the time of one call ---- */

struct temporary {
    uint64_t before, during;
    bool hold;   /* no handler runs */
    bool kernel; /* the kernel has something that `during` lets through */
};

/* From here on the fiber takes what mask lets through, for a wait; but handlers run in temporary_deliver
 * only. Outside the runtime, as the others. */
void temporary_begin(struct fiber *self, uint64_t mask, struct temporary *t);
/* If something came: its handlers run under the call's mask. True: the call ends with EINTR, and the mask
 * is the old one again. */
bool temporary_deliver(struct fiber *self, struct temporary *t);
/* The kernel thread blocks everything, for a system call that sets the mask itself. False: something came
 * before, as temporary_deliver. */
bool temporary_in_kernel(struct fiber *self, struct temporary *t);
/* After that call. True: handlers ran. */
bool temporary_from_kernel(struct fiber *self, struct temporary *t);
/* The old mask; handlers of what it lets through have run. Nothing happens if temporary_deliver said true. */
void temporary_end(struct fiber *self, struct temporary *t);

#endif
