/* recvmmsg and sendmmsg: several datagrams with one call.
 *
 * Each batch is the kernel's own call with MSG_DONTWAIT; between batches the fiber waits like a single
 * receive or send. An error that comes after something was transferred is left for the next call, as
 * the kernel does, by not making another call when the descriptor reports one.
 *
 * Called on the program's stacks; results inside are the kernel's kind. */
#include "shim/fdio.h"

#include <poll.h>

#define MOST 1024u /* the kernel's UIO_MAXIOV: it takes no more messages at once */

static uint64_t timespec_of(struct timespec *ts, uint64_t ns)
{
    *ts = (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
    return ns;
}

/* The timeout is looked at after each datagram only: with none the call waits on (recvmmsg(2), BUGS). */
static long receive_many(struct fiber *self, int fd, struct mmsghdr *msgs, unsigned n, int flags,
                         struct timespec *timeout)
{
    unsigned done = 0;
    uint64_t end = TIMER_NEVER;
    if (timeout) {
        if (user_check(self, timeout, sizeof *timeout))
            return -EFAULT;
        if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= (long)NSEC_PER_SEC)
            return -EINVAL;
        if (timeout->tv_sec < INT32_MAX)
            end = timer_now() + (uint64_t)timeout->tv_sec * NSEC_PER_SEC +
                  (uint64_t)timeout->tv_nsec;
    }
    n = n < MOST ? n : MOST;
    bool blocking = !(flags & MSG_DONTWAIT) && !fd_nonblocking(fd);
    for (;;) {
        /* One at a time under a timeout, which would end the kernel's own loop too. */
        unsigned want = timeout ? 1 : n - done;
        long r = sys_call(SYS_recvmmsg, fd, msgs + done, want,
                          (flags & ~MSG_WAITFORONE) | MSG_DONTWAIT, NULL);
        if (r > 0)
            done += (unsigned)r;
        if (r > 0 && timeout && end != TIMER_NEVER) {
            uint64_t now = timer_now();
            if (!timespec_of(timeout, end > now ? end - now : 0))
                return (long)done;
        }
        if (done == n || (r < 0 && r != -EAGAIN))
            return done ? (long)done : r;
        if (!blocking || (done && flags & MSG_WAITFORONE)) {
            if (r < 0 || want > (unsigned)(r < 0 ? 0 : r))
                return done ? (long)done : r;
            continue; /* one at a time: look whether there is more */
        }
        if (r > 0 && (unsigned)r == want)
            continue;
        uint64_t deadline = fd_socket_deadline(fd, false);
        long ready = done ? RESTART_PART(self, poller_wait(self, fd, POLLIN, deadline, PARK_READ))
                          : RESTART(self, deadline == TIMER_NEVER,
                                    poller_wait(self, fd, POLLIN, deadline, PARK_READ));
        if (ready < 0)
            return done ? (long)done : timed_out(ready);
        if (done && ready & POLLERR)
            return (long)done;
    }
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || !n || fd_classify(fd) != FD_SOCKET || flags & MSG_ERRQUEUE)
        return REAL(recvmmsg)(fd, msgs, n, flags, timeout);
    return (int)set_errno(receive_many(self, fd, msgs, n, flags, timeout));
}

static long send_many(struct fiber *self, int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    unsigned done = 0;
    n = n < MOST ? n : MOST;
    while (done < n) {
        long r = sys_call(SYS_sendmmsg, fd, msgs + done, n - done, flags | MSG_DONTWAIT);
        if (r < 0 && r != -EAGAIN)
            return done ? (long)done : r;
        if (flags & MSG_DONTWAIT || fd_nonblocking(fd))
            return r > 0 ? (long)(done + (unsigned)r) : done ? (long)done : r;
        struct mmsghdr *last = NULL;
        ssize_t sent = 0;
        if (r > 0) {
            done += (unsigned)r;
            last = &msgs[done - 1];
            if (last->msg_len == message_bytes(&last->msg_hdr))
                continue; /* the next one would have waited, or there is none */
            sent = socket_sendmsg_rest(self, fd, &last->msg_hdr, flags, last->msg_len,
                                       fd_socket_deadline(fd, true));
        } else {
            last = &msgs[done];
            sent = socket_sendmsg(self, fd, &last->msg_hdr, flags);
            if (sent < 0)
                return done ? (long)done : sent;
            done++;
        }
        last->msg_len = (unsigned)sent;
        if ((size_t)sent < message_bytes(&last->msg_hdr))
            return (long)done;
    }
    return (long)done;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || !n || fd_classify(fd) != FD_SOCKET)
        return REAL(sendmmsg)(fd, msgs, n, flags);
    if (user_check(self, msgs, (n < MOST ? n : MOST) * sizeof *msgs))
        return (int)set_errno(-EFAULT);
    for (unsigned i = 0; i < n && i < MOST; i++)
        if (msgs[i].msg_hdr.msg_controllen) {
            fd_unshare(-1); /* descriptors may go to another process */
            break;
        }
    return (int)set_errno(send_many(self, fd, msgs, n, flags));
}
