/* One signal that waits for its fiber, or for a worker to choose one. */
#ifndef SIGNAL_NOTE_H
#define SIGNAL_NOTE_H

#include <signal.h>
#include "sched/sched.h"

struct note {
    struct note *next;
    uint32_t tid; /* of the fiber it is for: a pooled fiber may find one of its past */
    bool process; /* was for the process */
    uint32_t segment;
    uint64_t sequence; /* the order in which they were made: lists lose it */
    siginfo_t info;
};

/* NULL: there are too many. */
struct note *note_make(const siginfo_t *info);
void note_free(struct note *n);
uint32_t note_count(void);
/* All notes of the signal that were made before are void; whoever sees one frees it. */
void note_discard(int sig);
bool note_void(const struct note *n);
void note_renew(struct note *n);
void note_push(_Atomic(struct note *) *list, struct note *n);
/* Oldest first. */
struct note *note_take_all(_Atomic(struct note *) *list);
void note_after_fork(void);

#endif
