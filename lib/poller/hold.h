/* Calls of several steps on one descriptor that may be closed meanwhile: see hold.c. */
#ifndef POLLER_HOLD_H
#define POLLER_HOLD_H

#include "poller/poller.h"

struct hold {
    struct hold *next;
    int number;     /* under which closers find it; the bucket's lock */
    _Atomic int fd; /* the number to use; -1: it could not be kept */
    _Atomic int home;
    _Atomic uint32_t busy;
    int duplicate; /* which of the duplicates is its own, -1: none */
};

/* Inside the runtime until hold_end. False: a close is under way, and this may be the number. */
bool hold_begin(struct hold *h, int fd);
void hold_end(struct hold *h);
/* Around system calls that do not wait; the number to use. */
int hold_step_begin(struct hold *h);
void hold_step_end(struct hold *h);

/* Around the closing or replacing of fd. True: hold_move is to be called. */
bool hold_closing_begin(int fd);
void hold_closing_end(int fd);
void hold_move(int fd);
void hold_after_fork(void);

#endif
