/* sendfile, splice, tee, vmsplice: bytes that go from one descriptor to another inside the kernel.
 *
 * The kernel has no form of these calls that never waits, except on pipes (SPLICE_F_NONBLOCK). So the
 * fiber waits until both sides are ready, and the call is then made with the proc handed off, in
 * pieces that a socket that is ready has room for. Should the kernel block after all (somebody else
 * was faster), the proc is passed on. Errors that need no waiting come first, as natively.
 *
 * Called on the program's stacks; results inside are the kernel's kind. */
#include "shim/fdio.h"

#include <poll.h>

#define PIPE_ROOM 65536ul
#define FUTILE                                                                                     \
    3 /* times that both sides were ready and the kernel would have waited all the same */

struct side {
    int fd;
    short events;
    enum fd_kind kind;
    bool waits; /* the call may block on it */
};

static struct side side(int fd, short events)
{
    struct side s = { .fd = fd, .events = events, .kind = fd_classify(fd) };
    s.waits = s.kind != FD_FILE && s.kind != FD_UNKNOWN && !fd_nonblocking(fd);
    return s;
}

/* Until both sides are ready. part: something was moved already, so a handler or a cancellation ends
 * the call with that. cancelled: the call is a cancellation point. */
static long wait_for_both(struct fiber *self, const struct side *in, const struct side *out,
                          bool part, bool cancelled)
{
    const struct side *sides[2] = { in, out };
    uint64_t deadline = TIMER_NEVER;
    for (;;) {
        const struct side *missing = NULL;
        for (int i = 0; i < 2 && !missing; i++) {
            if (!sides[i] || !sides[i]->waits)
                continue;
            struct pollfd p = { .fd = sides[i]->fd, .events = sides[i]->events };
            if (sys_call(SYS_poll, &p, 1, 0) == 0)
                missing = sides[i];
        }
        if (!missing)
            return 0;
        bool sends = missing->events & POLLOUT;
        if (missing->kind == FD_SOCKET && deadline == TIMER_NEVER)
            deadline = fd_socket_deadline(missing->fd, sends);
        bool restartable = !part && deadline == TIMER_NEVER;
        long r = poller_wait(self, missing->fd, (uint32_t)missing->events, deadline,
                             sends ? PARK_WRITE : PARK_READ);
        if (r == -EINTR && (!cancelled ? wait_goes_on_uncancelled(self, restartable)
                            : part && cancel_pending(self) ? false
                                                           : wait_goes_on(self, restartable)))
            continue;
        if (r == -EINTR || r == -ETIME)
            return r;
    }
}

/* How much a socket takes that poll calls writable; elsewhere everything. */
static size_t piece(const struct side *out, size_t n)
{
    if (out->kind != FD_SOCKET || !out->waits)
        return n;
    int room = 0;
    socklen_t len = sizeof room;
    if (sys_call(SYS_getsockopt, out->fd, SOL_SOCKET, SO_SNDBUF, &room, &len) || room < 16384)
        return n < 4096 ? n : 4096;
    size_t most = (size_t)room / 4 & ~4095ul;
    return n < most ? n : most;
}

EXPORT ssize_t sendfile(int out_fd, int in_fd, off_t *offset, size_t n)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(sendfile)(out_fd, in_fd, offset, n);
    struct side in = side(in_fd, POLLIN), out = side(out_fd, POLLOUT);
    if (!n || (!in.waits && !out.waits) || in.kind == FD_UNKNOWN || out.kind == FD_UNKNOWN)
        return set_errno(HANDED_OFF(self, sys_call(SYS_sendfile, out_fd, in_fd, offset, n)));
    size_t done = 0;
    for (;;) {
        size_t want = piece(&out, n - done);
        long ready = wait_for_both(self, &in, &out, done > 0, false);
        ssize_t r = ready ? timed_out(ready)
                          : HANDED_OFF(self, sys_call(SYS_sendfile, out_fd, in_fd, offset, want));
        if (r <= 0)
            return done ? (ssize_t)done : set_errno(r);
        done += (size_t)r;
        /* To a pipe the kernel moves what there is room for, and is done. */
        if (done == n || out.kind != FD_SOCKET || (size_t)r < want)
            return (ssize_t)done;
    }
}

static ssize_t splice_now(struct fiber *self, int in, off64_t *off_in, int out, off64_t *off_out,
                          size_t n, unsigned flags)
{
    return HANDED_OFF(self,
                      CALL_RESTART(self, true, SYS_splice, in, off_in, out, off_out, n, flags));
}

EXPORT ssize_t splice(int in_fd, off64_t *off_in, int out_fd, off64_t *off_out, size_t n,
                      unsigned flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(splice)(in_fd, off_in, out_fd, off_out, n, flags);
    struct side in = side(in_fd, POLLIN), out = side(out_fd, POLLOUT);
    bool wrong = (in.kind != FD_PIPE && out.kind != FD_PIPE) || (off_in && in.kind != FD_FILE) ||
                 (off_out && out.kind != FD_FILE) || in.kind == FD_UNKNOWN ||
                 out.kind == FD_UNKNOWN;
    if (!n || wrong || flags & SPLICE_F_NONBLOCK || (!in.waits && !out.waits))
        return set_errno(splice_now(self, in_fd, off_in, out_fd, off_out, n, flags));
    bool sockets = in.kind == FD_SOCKET || in.kind == FD_OTHER || out.kind == FD_SOCKET ||
                   out.kind == FD_OTHER;
    if (!sockets) { /* then the kernel says whether it would wait, after it has looked for errors */
        for (int futile = 0; futile < FUTILE; futile++) {
            ssize_t r = splice_now(self, in_fd, off_in, out_fd, off_out, n,
                                   flags | SPLICE_F_NONBLOCK);
            if (r != -EAGAIN || (in.kind == FD_PIPE && !in.waits) ||
                (out.kind == FD_PIPE && !out.waits))
                return set_errno(r);
            long ready = wait_for_both(self, &in, &out, false, true);
            if (ready)
                return set_errno(ready);
        }
        return set_errno(splice_now(self, in_fd, off_in, out_fd, off_out, n, flags));
    }
    size_t done = 0;
    for (;;) {
        size_t want = piece(&out, n - done);
        unsigned how = flags | (want < n - done ? SPLICE_F_MORE : 0);
        /* A second piece is only for a socket, and from a pipe that has more in it already. */
        struct pollfd more = { .fd = in_fd, .events = POLLIN };
        if (done && sys_call(SYS_poll, &more, 1, 0) == 0)
            return (ssize_t)done;
        long ready = wait_for_both(self, &in, &out, done > 0, true);
        ssize_t r = timed_out(ready);
        if (!ready && !done)
            r = splice_now(self, in_fd, off_in, out_fd, off_out, want, how);
        else if (!ready) /* not to be cancelled before the program knows what was moved */
            r = HANDED_OFF(self, sys_call(SYS_splice, in_fd, off_in, out_fd, off_out, want, how));
        if (r <= 0)
            return done ? (ssize_t)done : set_errno(r);
        done += (size_t)r;
        if (done == n || out.kind != FD_SOCKET || in.kind != FD_PIPE)
            return (ssize_t)done;
    }
}

EXPORT ssize_t tee(int in_fd, int out_fd, size_t n, unsigned flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(tee)(in_fd, out_fd, n, flags);
    ssize_t r = sys_call(SYS_tee, in_fd, out_fd, n, flags | SPLICE_F_NONBLOCK);
    if (r != -EAGAIN || flags & SPLICE_F_NONBLOCK)
        return set_errno(r);
    struct side in = side(in_fd, POLLIN), out = side(out_fd, POLLOUT);
    if (!in.waits || !out.waits) /* O_NONBLOCK on either is enough */
        return set_errno(r);
    for (int futile = 0; r == -EAGAIN && futile < FUTILE; futile++) {
        long ready = wait_for_both(self, &in, &out, false, true);
        if (ready)
            return set_errno(ready);
        r = sys_call(SYS_tee, in_fd, out_fd, n, flags | SPLICE_F_NONBLOCK);
    }
    if (r == -EAGAIN)
        r = HANDED_OFF(self, CALL_RESTART(self, true, SYS_tee, in_fd, out_fd, n, flags));
    return set_errno(r);
}

EXPORT ssize_t vmsplice(int fd, const struct iovec *iov, size_t count, unsigned flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(vmsplice)(fd, iov, count, flags);
    ssize_t r = sys_call(SYS_vmsplice, fd, iov, count, flags | SPLICE_F_NONBLOCK);
    if (r != -EAGAIN || flags & SPLICE_F_NONBLOCK)
        return set_errno(r);
    long mode = sys_call(SYS_fcntl, fd, F_GETFL);
    struct side s = side(fd, mode >= 0 && (mode & O_ACCMODE) == O_RDONLY ? POLLIN : POLLOUT);
    if (mode < 0 || mode & O_NONBLOCK)
        return set_errno(mode < 0 ? mode : r);
    for (int futile = 0; r == -EAGAIN && futile < FUTILE; futile++) {
        long ready = wait_for_both(self, &s, NULL, false, true);
        if (ready)
            return set_errno(ready);
        r = sys_call(SYS_vmsplice, fd, iov, count, flags | SPLICE_F_NONBLOCK);
    }
    if (r == -EAGAIN)
        r = HANDED_OFF(self, CALL_RESTART(self, true, SYS_vmsplice, fd, iov, count, flags));
    return set_errno(r);
}
