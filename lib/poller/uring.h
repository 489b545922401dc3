/* What the files of the io_uring backend share: the ring, a request, and the steps between them.
 * uring.c says who owns what; uring_setup.c makes rings, uring_io.c prepares requests. */
#ifndef POLLER_URING_H
#define POLLER_URING_H

#include <liburing.h>
#include "poller/poller.h"

#define SQ_ENTRIES  128u
#define CQ_ENTRIES  1024u
#define PREFETCH    4u /* completions */
#define TAG_MASK    3ul
#define TAG_REQUEST 0ul
#define TAG_CANCEL  1ul
#define TAG_WAKE    2ul

/* On the stack of the fiber that waits. */
struct request {
    struct fiber *fiber;
    struct worker *owner;
    long result;
    uint32_t cqe_flags;
    _Atomic uint32_t pending; /* completions to come before the fiber may go on */
    _Atomic bool expired;
    bool done;            /* its own completion was taken; a cancellation's may be to come */
    struct request *next; /* in the owner's mail */
};

struct ring {
    struct io_uring u;
    uint32_t enter_flags;
    bool wake_armed;
    uint32_t in_flight;
    uint32_t nprepared;
    int prepared_fd[SQ_ENTRIES]; /* of requests counted in fd_info.unsubmitted */
};

/* ---- uring_setup.c ---- */

int uring_open(struct worker *w);
void uring_after_fork(void);
long uring_enter(struct ring *r, unsigned submit, unsigned wait, unsigned flags, void *arg,
                 size_t size);
/* Whether the kernel knows an operation (IORING_OP_*). */
bool uring_knows(unsigned op);

/* ---- uring.c: owner only, inside the runtime ---- */

/* A free submission entry; submits if there is none. */
struct io_uring_sqe *uring_sqe(struct worker *w);
/* One io_uring_enter, with what is prepared. Returns its result. */
long uring_submit(struct ring *r, unsigned wait, unsigned flags, void *arg, size_t size);
/* Prepares the cancellation of q, which q->pending counts already; or leaves that to its owner. */
void uring_cancel(struct worker *w, struct request *q);
void uring_post_cancel(struct request *q);
void uring_wake(struct worker *w);

/* ---- uring_io.c ---- */

long uring_io(struct fiber *self, struct io *io, uint64_t deadline);
long uring_futex_wait(struct fiber *self, const struct futex_wait *what, enum park_reason reason,
                      uint64_t deadline);
long uring_collect(struct fiber *self, struct collect *c, uint64_t deadline);
void uring_closing(struct fiber *self, int fd);

#endif
