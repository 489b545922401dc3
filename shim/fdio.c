/* read, write and their relatives on any descriptor; close and what replaces a descriptor.
 *
 * What happens to a fiber that would block depends on what the descriptor is (fd_classify, a hint
 * that the kernel's answer corrects): sockets go to socket.c, files to file.c; pipes read in the ring
 * and write by trying and waiting for room; terminals, eventfds and the like read in the ring.
 *
 * O_NONBLOCK is asked for before every wait and never set. Blocking writes transfer everything.
 * Called on the program's stacks; results inside are the kernel's kind (-errno). */
#include "shim/calls.h"

#include <limits.h>
#include <linux/close_range.h>
#include "arch/syscall.h"
#include "shim/fdio.h"
#include "signal/await.h"

/* Pipes, terminals, eventfds...: the ring waits for them itself. */
static ssize_t wait_and_read(struct fiber *self, int fd, const struct iovec *iov, int count)
{
    if (fd_nonblocking(fd))
        return sys_call(SYS_readv, fd, iov, count);
    size_t len = count > 1                       ? (size_t)count
                 : iov[0].iov_len < MAX_TRANSFER ? iov[0].iov_len
                                                 : MAX_TRANSFER;
    struct io io = { .kind = count == 1 ? IO_READ : IO_READV,
                     .reason = PARK_READ,
                     .fd = fd,
                     .addr = count == 1 ? iov[0].iov_base : (void *)(uintptr_t)iov,
                     .len = (uint32_t)len,
                     .offset = NO_OFFSET };
    ssize_t r = RESTART(self, true, poller->io(self, &io, TIMER_NEVER));
    if (r != -EOPNOTSUPP)
        return r;
    for (;;) {
        r = try_read(fd, iov, count, NO_OFFSET);
        if (r != -EAGAIN && r != -EOPNOTSUPP)
            return r;
        long ready = RESTART(self, true, poller_wait(self, fd, POLLIN, TIMER_NEVER, PARK_READ));
        if (ready == -EINTR)
            return ready;
        if (r == -EOPNOTSUPP || ready < 0) {
            /* Ready now; should another reader be faster, the monitor passes the proc on. */
            handoff_enter(self);
            r = CALL_RESTART(self, true, SYS_readv, fd, iov, count);
            handoff_leave(self);
            return r;
        }
    }
}

ssize_t read_any(struct fiber *self, int fd, const struct iovec *iov, int count)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        ssize_t r;
        switch (fd_classify(fd)) {
        case FD_SOCKET:
            if (count == 1) {
                r = socket_recv(self, fd, iov[0].iov_base, iov[0].iov_len, 0);
            } else {
                struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov,
                                      .msg_iovlen = (size_t)count };
                r = socket_recvmsg(self, fd, &msg, 0);
            }
            if (r != -ENOTSOCK)
                return r;
            fd_forget(fd); /* it was replaced behind our back */
            continue;
        case FD_FILE:
            return file_read(self, fd, iov, count, NO_OFFSET);
        case FD_PIPE:
        case FD_OTHER:
            return wait_and_read(self, fd, iov, count);
        case FD_UNKNOWN:
            return sys_call(SYS_readv, fd, iov, count);
        }
    }
    return sys_call(SYS_readv, fd, iov, count);
}

EXPORT ssize_t read(int fd, void *buf, size_t n)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(read)(fd, buf, n);
    struct iovec iov = { buf, n };
    return set_errno(read_any(self, fd, &iov, 1));
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
    return n > size ? REAL(__read_chk)(fd, buf, n, size) : read(fd, buf, n);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int count)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || count <= 0 || count > IOV_MAX)
        return REAL(readv)(fd, iov, count);
    if (count == 1 && user_check(self, iov, sizeof *iov)) /* of more the kernel reads the first */
        return set_errno(-EFAULT);
    return set_errno(read_any(self, fd, iov, count));
}

EXPORT int eventfd_read(int fd, eventfd_t *value)
{
    return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}

EXPORT int eventfd_write(int fd, eventfd_t value)
{
    return write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}

/* ---- writing ---- */

/* A blocking write to a pipe transfers everything, however full it is. part: the program's call has
 * written something before. */
static ssize_t write_pipe(struct fiber *self, int fd, const char *buf, size_t n, bool part)
{
    size_t done = 0;
    while (done < n) {
        struct iovec iov = { (void *)(uintptr_t)(buf + done), n - done };
        ssize_t r = try_write(fd, &iov, 1);
        if (r == -EOPNOTSUPP)
            r = handed_off(self, SYS_write, fd, buf + done, n - done, 0);
        if (r > 0) {
            done += (size_t)r;
            if (done == n)
                break;
        } else if (r != -EAGAIN) {
            return done ? (ssize_t)done : r;
        }
        if (fd_nonblocking(fd))
            return done ? (ssize_t)done : -EAGAIN;
        /* After a part was written the count is the answer to a signal, and to cancellation too. */
        long ready =
            done || part
                ? RESTART_PART(self, poller_wait(self, fd, POLLOUT, TIMER_NEVER, PARK_WRITE))
                : RESTART(self, true, poller_wait(self, fd, POLLOUT, TIMER_NEVER, PARK_WRITE));
        if (ready < 0)
            return done ? (ssize_t)done : ready;
    }
    return (ssize_t)done;
}

static ssize_t write_any(struct fiber *self, int fd, const void *buf, size_t n)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        ssize_t r;
        switch (fd_classify(fd)) {
        case FD_SOCKET:
            r = socket_send(self, fd, buf, n, 0, NULL, 0);
            if (r != -ENOTSOCK)
                return r;
            fd_forget(fd);
            continue;
        case FD_PIPE:
            return n ? write_pipe(self, fd, buf, n, false) : sys_call(SYS_write, fd, buf, n);
        case FD_FILE: {
            struct iovec iov = { (void *)(uintptr_t)buf, n };
            return file_write(self, fd, &iov, 1, NO_OFFSET);
        }
        default:
            return handed_off(self, SYS_write, fd, buf, n, 0);
        }
    }
    return handed_off(self, SYS_write, fd, buf, n, 0);
}

EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(write)(fd, buf, n);
    return set_errno(write_any(self, fd, buf, n));
}

/* One call that takes everything if there is room: what fits in PIPE_BUF is written as one. Else, from
 * where that ended, piece by piece. */
static ssize_t writev_pipe(struct fiber *self, int fd, const struct iovec *iov, int count)
{
    ssize_t done;
    while ((done = try_write(fd, iov, count)) == -EAGAIN) {
        if (fd_nonblocking(fd))
            return done;
        long ready = RESTART(self, true, poller_wait(self, fd, POLLOUT, TIMER_NEVER, PARK_WRITE));
        if (ready < 0)
            return ready;
    }
    if (done == -EOPNOTSUPP)
        return HANDED_OFF(self, CALL_RESTART(self, true, SYS_writev, fd, iov, count));
    if (done < 0)
        return done;
    size_t skip = (size_t)done;
    for (int i = 0; i < count; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t n = iov[i].iov_len - skip;
        ssize_t r = write_pipe(self, fd, (char *)iov[i].iov_base + skip, n, true);
        if (r < 0)
            return done ? done : r;
        done += r;
        if ((size_t)r < n)
            break;
        skip = 0;
    }
    return done;
}

ssize_t writev_any(struct fiber *self, int fd, const struct iovec *iov, int count)
{
    ssize_t r;
    switch (fd_classify(fd)) {
    case FD_SOCKET: {
        struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov,
                              .msg_iovlen = (size_t)count };
        r = socket_sendmsg(self, fd, &msg, 0);
        if (r != -ENOTSOCK)
            return r;
        fd_forget(fd);
        break;
    }
    case FD_PIPE:
        return writev_pipe(self, fd, iov, count);
    case FD_FILE:
        return file_write(self, fd, iov, count, NO_OFFSET);
    default:
        break;
    }
    return handed_off(self, SYS_writev, fd, iov, (size_t)count, 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int count)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || count <= 0 || count > IOV_MAX)
        return REAL(writev)(fd, iov, count);
    return set_errno(writev_any(self, fd, iov, count));
}

/* ---- descriptors that go away ---- */

/* The number fd will mean another file, or none. A vfork child has descriptors of its own. True: after_close
 * is to follow. */
static bool before_close(int fd)
{
    struct fiber *self = fiber_self;
    if (self && load_relaxed(&self->flags) & FIBER_VFORK)
        return false;
    bool waits = runtime_mode == RUNTIME_ACTIVE && self;
    if (waits) {
        signal_await_closing(fd);
        poller_closing(self, fd);
    }
    fd_forget(fd);
    return waits;
}

static int after_close(bool follows, int fd, int result)
{
    if (follows)
        poller_closed(fd);
    return result;
}

EXPORT int close(int fd)
{
    struct fiber *self = fiber_at_cancel_point();
    bool follows = before_close(fd);
    if (!self)
        return after_close(follows, fd, REAL(close)(fd));
    handoff_enter(self); /* SO_LINGER */
    long r = sys_call(SYS_close, fd);
    handoff_leave(self);
    return after_close(follows, fd, (int)set_errno(r));
}

EXPORT int dup(int fd)
{
    fd_unshare(fd < 0 ? 0 : fd);
    int r = REAL(dup)(fd);
    if (r >= 0)
        fd_forget(r);
    return r;
}

EXPORT int dup2(int from, int to)
{
    fd_unshare(from < 0 ? 0 : from);
    bool follows = from != to && before_close(to);
    return after_close(follows, to, REAL(dup2)(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
    fd_unshare(from < 0 ? 0 : from);
    bool follows = before_close(to);
    return after_close(follows, to, REAL(dup3)(from, to, flags));
}

static void before_close_from(unsigned first, unsigned last)
{
    struct fiber *self = fiber_self;
    if (!fd_table || (self && load_relaxed(&self->flags) & FIBER_VFORK))
        return;
    for (unsigned fd = first; fd <= last && fd < FD_TABLE_SIZE; fd++)
        if (load_relaxed(&fd_table[fd].kind) || load_relaxed(&fd_table[fd].unsubmitted))
            after_close(before_close((int)fd), (int)fd, 0);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (!(flags & CLOSE_RANGE_CLOEXEC))
        before_close_from(first, last);
    return REAL(close_range)(first, last, flags);
}

EXPORT void closefrom(int first)
{
    before_close_from(first < 0 ? 0 : (unsigned)first, ~0u);
    REAL(closefrom)(first);
}
