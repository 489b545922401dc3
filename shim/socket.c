/* Sockets: receive, send, accept, connect.
 *
 * Receiving tries without waiting only when data is likely (a fresh connection, the kernel said that
 * more is queued, or the last read filled its buffer); else the request goes to the ring. Sending
 * always tries first and waits for room for the rest, so SIGPIPE and immediate errors are the
 * kernel's own. Called on the program's stacks; results inside are the kernel's kind. */
#include "shim/calls.h"

#include <poll.h>
#include "arch/syscall.h"
#include "shim/fdio.h"

/* Flags with which a receive never waits, or with which trying first would change the result. */
#define RECV_DIRECT (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

static bool likely_ready(int fd)
{
    struct fd_info *info = fd_info(fd);
    return !info || load_relaxed(&info->hints) & FD_LIKELY;
}

static void note_likely(int fd, bool likely)
{
    struct fd_info *info = fd_info(fd);
    if (!info)
        return;
    uint8_t hints = load_relaxed(&info->hints);
    uint8_t now = likely ? hints | FD_LIKELY : hints & ~FD_LIKELY;
    if (now != hints)
        store_relaxed(&info->hints, now);
}

/* The receive as a function of flags, for the two forms of the call. */
struct receive {
    int fd;
    void *buf;
    size_t n;
    struct msghdr *msg; /* NULL: recv */
};

static ssize_t receive_now(const struct receive *c, int flags)
{
    if (c->msg)
        return sys_call(SYS_recvmsg, c->fd, c->msg, flags);
    return sys_call(SYS_recvfrom, c->fd, c->buf, c->n, flags, NULL, NULL);
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;
    return sys_call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_STREAM;
}

static ssize_t receive(struct fiber *self, const struct receive *c, int flags)
{
    int fd = c->fd;
    if ((flags & RECV_DIRECT) || (!c->msg && c->n == 0)) {
        ssize_t r = receive_now(c, flags);
        if (r > 0)
            fiber_served(self);
        return r;
    }
    bool tried = false;
    if (!(flags & MSG_WAITALL) && likely_ready(fd)) {
        ssize_t r = receive_now(c, flags | MSG_DONTWAIT);
        if (r != -EAGAIN) {
            note_likely(fd, r == (ssize_t)c->n && !c->msg);
            if (r > 0)
                fiber_served(self);
            return r;
        }
        tried = true;
    }
    if (fd_nonblocking(fd))
        return tried ? -EAGAIN : receive_now(c, flags);
    if (flags & MSG_WAITALL && !is_stream(fd))
        flags &= ~MSG_WAITALL; /* the ring would put records together */
    if (flags & MSG_WAITALL)
        return c->msg ? receive_all(self, fd, c->msg, flags)
                      : receive_all_plain(self, fd, c->buf, c->n, flags);
    uint64_t deadline = fd_socket_deadline(fd, false);
    struct io io = { .kind = c->msg ? IO_RECVMSG : IO_RECV,
                     .reason = PARK_READ,
                     .fd = fd,
                     .addr = c->msg ? (void *)c->msg : c->buf,
                     .len = (uint32_t)(c->n < MAX_TRANSFER ? c->n : MAX_TRANSFER),
                     .flags = (uint32_t)flags,
                     .tried = true };
    ssize_t r = RESTART(self, deadline == TIMER_NEVER, poller->io(self, &io, deadline));
    if (r != -EOPNOTSUPP) {
        note_likely(fd, io.more || (r > 0 && r == (ssize_t)c->n));
        return timed_out(r);
    }
    for (;;) {
        r = receive_now(c, flags | MSG_DONTWAIT);
        if (r != -EAGAIN)
            return r;
        long ready = RESTART(self, deadline == TIMER_NEVER,
                             poller_wait(self, fd, POLLIN, deadline, PARK_READ));
        if (ready < 0)
            return timed_out(ready);
    }
}

ssize_t socket_recv(struct fiber *self, int fd, void *buf, size_t n, int flags)
{
    struct receive c = { .fd = fd, .buf = buf, .n = n };
    return receive(self, &c, flags);
}

ssize_t socket_recvmsg(struct fiber *self, int fd, struct msghdr *msg, int flags)
{
    struct receive c = { .fd = fd, .msg = msg };
    return receive(self, &c, flags);
}

EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(recv)(fd, buf, n, flags);
    if (fd_classify(fd) != FD_SOCKET)
        fd_forget(fd);
    return set_errno(socket_recv(self, fd, buf, n, flags));
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
    return n > size ? REAL(__recv_chk)(fd, buf, n, size, flags) : recv(fd, buf, n, flags);
}

EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, __SOCKADDR_ARG addr, socklen_t *len)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(recvfrom)(fd, buf, n, flags, addr, len);
    if (!addr.__sockaddr__)
        return recv(fd, buf, n, flags);
    fd_classify(fd);
    if (len && user_check(self, len, sizeof *len))
        return set_errno(-EFAULT);
    struct iovec iov = { buf, n };
    struct msghdr msg = { .msg_name = addr.__sockaddr__,
                          .msg_namelen = len ? *len : 0,
                          .msg_iov = &iov,
                          .msg_iovlen = 1 };
    ssize_t r = socket_recvmsg(self, fd, &msg, flags);
    if (r >= 0 && len)
        *len = msg.msg_namelen;
    return set_errno(r);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
                              __SOCKADDR_ARG addr, socklen_t *len)
{
    return n > size ? REAL(__recvfrom_chk)(fd, buf, n, size, flags, addr, len)
                    : recvfrom(fd, buf, n, flags, addr, len);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(recvmsg)(fd, msg, flags);
    fd_classify(fd);
    return set_errno(socket_recvmsg(self, fd, msg, flags));
}

/* ---- sending ---- */

/* A local shutdown(SHUT_WR) of a full AF_UNIX socket is not reported by poll, though a kernel thread
 * blocked in send would return: look again this often. */
#define LOOK_AGAIN (250 * NSEC_PER_MSEC)

/* part: something was sent already, so a handler ends the call. */
static long wait_for_room(struct fiber *self, int fd, uint64_t deadline, bool part)
{
    uint64_t look = timer_now() + LOOK_AGAIN, end = deadline < look ? deadline : look;
    long ready = part ? RESTART_PART(self, poller_wait(self, fd, POLLOUT, end, PARK_WRITE))
                      : RESTART(self, deadline == TIMER_NEVER,
                                poller_wait(self, fd, POLLOUT, end, PARK_WRITE));
    return ready == -ETIME && look < deadline ? 0 : ready;
}

/* The rest of a blocking send, from a point where the socket had no room. done: sent before, of this
 * buffer (part: of others); an error after that is reported by the next call, without a signal. */
static ssize_t send_rest(struct fiber *self, int fd, const char *buf, size_t n, int flags,
                         const struct sockaddr *addr, socklen_t len, size_t done, bool part,
                         uint64_t deadline)
{
    for (int futile = 0;;) {
        long ready = wait_for_room(self, fd, deadline, done || part);
        if (ready < 0)
            return done ? (ssize_t)done : timed_out(ready);
        ssize_t r = sys_call(SYS_sendto, fd, buf + done, n - done,
                             flags | MSG_DONTWAIT | (done ? MSG_NOSIGNAL : 0), addr, len);
        if (r >= 0) {
            done += (size_t)r;
            if (done == n)
                return (ssize_t)done;
            futile = 0;
        } else if (r != -EAGAIN) {
            return done ? (ssize_t)done : r;
        } else if (ready && ++futile == 3) {
            /* Writable, yet no room: a datagram for a full peer that poll does not know of. */
            handoff_enter(self);
            r = CALL_RESTART(self, deadline == TIMER_NEVER, SYS_sendto, fd, buf + done, n - done,
                             flags, addr, len);
            handoff_leave(self);
            return r;
        }
    }
}

ssize_t socket_send(struct fiber *self, int fd, const void *buf, size_t n, int flags,
                    const struct sockaddr *addr, socklen_t len)
{
    ssize_t r = sys_call(SYS_sendto, fd, buf, n, flags | MSG_DONTWAIT, addr, len);
    if (likely(r == (ssize_t)n) || (r < 0 && r != -EAGAIN) || (flags & MSG_DONTWAIT))
        return r;
    if (fd_nonblocking(fd))
        return r;
    return send_rest(self, fd, buf, n, flags, addr, len, r > 0 ? (size_t)r : 0, false,
                     fd_socket_deadline(fd, true));
}

/* Part of a stream went out, with the control data: the rest is bytes only. */
ssize_t socket_sendmsg_rest(struct fiber *self, int fd, const struct msghdr *msg, int flags,
                            ssize_t done, uint64_t deadline)
{
    size_t skip = (size_t)done;
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        const struct iovec *v = &msg->msg_iov[i];
        if (skip >= v->iov_len) {
            skip -= v->iov_len;
            continue;
        }
        ssize_t r = send_rest(self, fd, v->iov_base, v->iov_len, flags | MSG_NOSIGNAL, NULL, 0,
                              skip, true, deadline);
        if (r <= (ssize_t)skip)
            break;
        done += r - (ssize_t)skip;
        if (r < (ssize_t)v->iov_len)
            break;
        skip = 0;
    }
    return done;
}

ssize_t socket_sendmsg(struct fiber *self, int fd, const struct msghdr *msg, int flags)
{
    ssize_t done;
    uint64_t deadline = TIMER_NEVER;
    bool asked = false;
    for (;;) {
        done = sys_call(SYS_sendmsg, fd, msg, flags | MSG_DONTWAIT);
        if ((done >= 0 || done == -EAGAIN) && msg->msg_controllen)
            fd_unshare(-1); /* descriptors may go to another process */
        /* What the kernel has read is safe to read. */
        if ((done < 0 && done != -EAGAIN) || (flags & MSG_DONTWAIT) ||
            done == (ssize_t)message_bytes(msg))
            return done;
        if (!asked) {
            if (fd_nonblocking(fd))
                return done;
            deadline = fd_socket_deadline(fd, true);
            asked = true;
        }
        if (done > 0)
            break;
        long ready = wait_for_room(self, fd, deadline, false);
        if (ready < 0)
            return timed_out(ready);
    }
    return socket_sendmsg_rest(self, fd, msg, flags, done, deadline);
}

EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(send)(fd, buf, n, flags);
    fd_classify(fd);
    return set_errno(socket_send(self, fd, buf, n, flags, NULL, 0));
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, __CONST_SOCKADDR_ARG addr,
                      socklen_t len)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sendto)(fd, buf, n, flags, addr, len);
    fd_classify(fd);
    return set_errno(socket_send(self, fd, buf, n, flags, addr.__sockaddr__, len));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sendmsg)(fd, msg, flags);
    fd_classify(fd);
    return set_errno(socket_sendmsg(self, fd, msg, flags));
}

/* ---- connections ---- */

static long accept_any(struct fiber *self, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    if (fd_classify(fd) != FD_SOCKET || fd_nonblocking(fd)) {
        if (fd_classify(fd) != FD_SOCKET)
            fd_forget(fd);
        return sys_call(SYS_accept4, fd, addr, len, flags);
    }
    uint64_t deadline = fd_socket_deadline(fd, false);
    struct io io = { .kind = IO_ACCEPT,
                     .reason = PARK_ACCEPT,
                     .fd = fd,
                     .addr = addr,
                     .offset = (uintptr_t)len,
                     .flags = (uint32_t)flags };
    long r = RESTART(self, deadline == TIMER_NEVER, poller->io(self, &io, deadline));
    if (r != -EOPNOTSUPP)
        return timed_out(r);
    r = RESTART(self, deadline == TIMER_NEVER,
                poller_wait(self, fd, POLLIN, deadline, PARK_ACCEPT));
    if (r < 0)
        return timed_out(r);
    handoff_enter(self); /* somebody else may have been faster */
    r = CALL_RESTART(self, deadline == TIMER_NEVER, SYS_accept4, fd, addr, len, flags);
    handoff_leave(self);
    return r;
}

EXPORT int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *len, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(accept4)(fd, addr, len, flags);
    long r = accept_any(self, fd, addr.__sockaddr__, len, flags);
    if (r >= 0)
        fd_accepted((int)r, fd, flags);
    return (int)set_errno(r);
}

EXPORT int accept(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
    return accept4(fd, addr, len, 0);
}

static bool local_socket(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    return sys_call(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           domain == AF_UNIX;
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(connect)(fd, addr, len);
    if (fd_classify(fd) != FD_SOCKET || fd_nonblocking(fd)) {
        fd_forget(fd);
        return (int)set_errno(sys_call(SYS_connect, fd, addr.__sockaddr__, len));
    }
    /* The ring would give a full backlog to one of its few helper threads, to wait there. */
    if (local_socket(fd))
        return (int)set_errno(
            HANDED_OFF(self, CALL_RESTART(self, fd_socket_deadline(fd, true) == TIMER_NEVER,
                                          SYS_connect, fd, addr.__sockaddr__, len)));
    struct io io = { .kind = IO_CONNECT,
                     .reason = PARK_CONNECT,
                     .fd = fd,
                     .addr = (void *)(uintptr_t)addr.__sockaddr__,
                     .len = len };
    uint64_t deadline = fd_socket_deadline(fd, true);
    long r = poller->io(self, &io, deadline);
    if (unlikely(r == -EINTR) && wait_goes_on(self, deadline == TIMER_NEVER)) {
        /* The connection is being made all the same; asking again tells how it ended. */
        r = RESTART(self, deadline == TIMER_NEVER,
                    poller_wait(self, fd, POLLOUT, deadline, PARK_CONNECT));
        if (r >= 0)
            r = sys_call(SYS_connect, fd, addr.__sockaddr__, len);
    }
    if (r == -EOPNOTSUPP) {
        handoff_enter(self);
        r = CALL_RESTART(self, deadline == TIMER_NEVER, SYS_connect, fd, addr.__sockaddr__, len);
        handoff_leave(self);
    }
    return (int)set_errno(r == -ETIME ? -EINPROGRESS : r);
}

EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    int r = REAL(setsockopt)(fd, level, option, value, len);
    if (level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO))
        fd_forget_timeouts();
    return r;
}
