/* Notes on their way to a fiber, inside lib/signal: what deliver.c does for the other files. */
#ifndef SIGNAL_ROUTE_H
#define SIGNAL_ROUTE_H

#include "signal/note.h"

/* Of a fiber that does not take it any more: what was for the process goes to somebody else, by way of w,
 * or of another worker if w is one that does not look. */
void signal_forward(struct worker *w, struct note *n);
/* Raises the notes of the calling fiber that its mask lets through. Outside the runtime. */
void signal_deliver(struct fiber *self);
/* Gives a signal for the process to a fiber that takes it. False: nobody does, the note is the caller's. On
 * a thread that runs no handlers and holds no lock. */
bool signal_route(struct note *n);
/* Whether a fiber takes the signal now. */
bool signal_taken(uint64_t bit);
/* temporary.c: a sched_signal_op. */
void signal_sweep(void);

#endif
