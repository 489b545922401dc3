/* What all fibers together do about a signal for the process. */
#ifndef SIGNAL_EVERYONE_H
#define SIGNAL_EVERYONE_H

#include "sched/sched.h"

/* The signals that no fiber takes: what an idle worker blocks. */
uint64_t everyone_blocks(void);
/* Whether f takes the signal, now or after the handlers that it runs. */
bool everyone_takes(struct fiber *f, uint64_t bit);
/* The calling fiber unblocks what is not in mask, and has recorded it. */
void everyone_unblocked(uint64_t mask);
/* It has blocked more, or has ended: waits, briefly, until idle workers block what nobody takes. Outside
 * the runtime. */
void everyone_blocked(void);
/* A fiber, other than the main one, that takes a signal; NULL: none. Inside the runtime. */
struct fiber *everyone_find(uint64_t bit);
void everyone_after_fork(void);

#endif
