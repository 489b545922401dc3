/* Waiting on a descriptor for a fiber that owns its kernel thread.
 *
 * A bound fiber's calls go to libc. But a fiber may become bound inside a call that was begun as an
 * unbound one, whose loop then comes back here. Waiting blocks the kernel thread; operations are left
 * to the caller, who can do without them, as with a backend that has none. Called on the fiber's
 * stack, outside the runtime. */
#include "poller/poller.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include "arch/syscall.h"

long io_direct(struct io *io, uint64_t deadline)
{
    if (io->kind != IO_POLL)
        return -EOPNOTSUPP;
    struct pollfd p = { .fd = io->fd, .events = (short)io->flags };
    struct timespec left, *timeout = NULL;
    if (deadline != TIMER_NEVER) {
        uint64_t now = timer_now(), rest = now < deadline ? deadline - now : 0;
        left = (struct timespec){ (time_t)(rest / NSEC_PER_SEC), (long)(rest % NSEC_PER_SEC) };
        timeout = &left;
    }
    long r = sys_call(SYS_ppoll, &p, 1, timeout, NULL, 8);
    return r == 0 ? -ETIME : r < 0 ? r : p.revents & POLLNVAL ? -EBADF : p.revents;
}
