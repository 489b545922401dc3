/* For backends: collect.c. */
#ifndef POLLER_COLLECT_H
#define POLLER_COLLECT_H

#include "poller/hold.h"

/* poller_backend.collect, with the backend's wait: inside the runtime, as io() with IO_POLL on h->fd;
 * -EBADF if the number has changed meanwhile. */
long collect(struct fiber *self, struct collect *c, uint64_t deadline,
             long (*wait)(struct fiber *, struct hold *, uint32_t events, uint64_t deadline));

#endif
