/* Waiting for the first of a few descriptors: a poll request for each, in one submission.
 *
 * All have the same user data, so that one cancellation ends them all. The first that completes by itself
 * posts it (uring.c, part_done), as does the deadline or whoever interrupts the fiber, whichever is first
 * (request.expired); the fiber goes on when the last completion is there. So nothing of a wait is left
 * when it is over. Natively a thread that waits holds the descriptions, as these requests do.
 *
 * A temporary epoll descriptor instead costs a system call for each descriptor and three more, and the
 * kernel 15 us for four descriptors. Called by poll and select, on fibers' stacks. */
#include "poller/uring.h"

#include <errno.h>
#include <poll.h>
#include "arch/syscall.h"

long uring_poll_any(struct fiber *self, const struct pollfd *fds, unsigned n, uint64_t deadline)
{
    unsigned count = 0, any = 0, all = POLLRDHUP;
    for (unsigned i = 0; i < n; i++)
        if (fds[i].fd >= 0) {
            count++;
            any |= (unsigned short)fds[i].events;
            all &= (unsigned short)fds[i].events;
        }
    /* The ring always asks for POLLRDHUP. Where some are asked for it, nobody could tell whose it is. */
    if ((any & POLLRDHUP) != all)
        return -EOPNOTSUPP;
    struct worker *w = runtime_enter(self);
    if (unlikely(!w)) {
        runtime_leave(self);
        return -EOPNOTSUPP;
    }
    uring_room(w, count);
    struct request q = {
        .fiber = self, .owner = w, .pending = count, .left = count, .several = true
    };
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].fd < 0)
            continue;
        struct io_uring_sqe *sqe = uring_sqe(w);
        io_uring_prep_poll_add(sqe, fds[i].fd, (unsigned short)fds[i].events);
        io_uring_sqe_set_data64(sqe, (uintptr_t)&q | TAG_PART);
        uring_name_fd(w->ring, fds[i].fd);
        w->ring->in_flight++;
    }
    bool early = fiber_park_interruptible(self, PARK_POLL, &q, NULL, &q, deadline, uring_expire);
    runtime_leave(self);
    if (early)
        return -EINTR;
    if (!q.fired)
        return load_relaxed(&q.expired) ? -ETIME : 0;
    return q.result == POLLRDHUP && !all ? -EOPNOTSUPP : 0;
}
