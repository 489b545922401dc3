/* MSG_WAITALL: pieces, with the fiber parked between them (lib/poller/collect.c), where that is the same as the
 * kernel's own loop, else the kernel's call, on a kernel thread. The ring could do it with one request, but
 * does not look for what ends that loop, and takes an error along that is the next call's.
 *
 * Not the same are: MSG_PEEK, which takes nothing, so that nothing tells when there is more; SO_RCVLOWAT, below
 * which poll says nothing though the call would end; sockets that pass credentials, where the kernel never puts
 * two senders' bytes together; layers above TCP (TLS, MPTCP), other families.
 *
 * Called on the program's stacks; results are the kernel's kind. */
#include "shim/fdio.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include "arch/syscall.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define PARTS 16u /* iovecs: a copy of them is on the stack */

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;
    return sys_call(SYS_getsockopt, fd, level, name, &value, &len) ? 0 : value;
}

/* TLS and the like replace what is received. */
static bool has_layer(int fd)
{
    char name[16];
    socklen_t len = sizeof name;
    return sys_call(SYS_getsockopt, fd, IPPROTO_TCP, TCP_ULP, name, &len) || len;
}

static bool in_pieces(int fd, bool *tcp)
{
    int family = option(fd, SOL_SOCKET, SO_DOMAIN);
    *tcp = family != AF_UNIX;
    if (option(fd, SOL_SOCKET, SO_RCVLOWAT) != 1)
        return false;
    if (*tcp)
        return (family == AF_INET || family == AF_INET6) &&
               option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP && !has_layer(fd);
    return !option(fd, SOL_SOCKET, SO_PASSCRED) && !option(fd, SOL_SOCKET, SO_PASSSEC) &&
           !option(fd, SOL_SOCKET, SO_PASSPIDFD);
}

static ssize_t blocked(struct fiber *self, int fd, struct msghdr *msg, int flags, uint64_t deadline)
{
    handoff_block_enter(self);
    ssize_t r = CALL_RESTART(self, deadline == TIMER_NEVER, SYS_recvmsg, fd, msg, flags);
    handoff_block_leave(self);
    return r;
}

/* The kernel collects, in one call: between two the number may come to mean another file. Until there is a first byte
 * nobody needs a kernel thread. */
static ssize_t by_kernel(struct fiber *self, int fd, struct msghdr *msg, int flags,
                         uint64_t deadline)
{
    long ready = deadline != TIMER_NEVER || option(fd, SOL_SOCKET, SO_RCVLOWAT) > 1
                     ? 0
                     : RESTART(self, true, poller_wait(self, fd, POLLIN, deadline, PARK_READ));
    return ready < 0 ? ready : blocked(self, fd, msg, flags, deadline);
}

/* iov: a copy, which advances. */
static ssize_t collect_all(struct fiber *self, struct collect *c, int flags, uint64_t deadline)
{
    for (;;) {
        long r = poller->collect(self, c, deadline);
        if (r == -EOPNOTSUPP)
            break;
        if (r != -EINTR)
            return c->done ? (ssize_t)c->done : timed_out(r);
        if (c->done && cancel_pending(self))
            return (ssize_t)c->done; /* a cancelled thread first learns what came */
        if (!wait_goes_on(self, !c->done && deadline == TIMER_NEVER))
            return c->done ? (ssize_t)c->done : r;
    }
    /* The descriptor is just being closed, or the fiber has become bound on its way. */
    if (!c->done) {
        ssize_t r = blocked(self, c->fd, c->msg, flags, deadline);
        c->control = c->msg->msg_controllen;
        return r;
    }
    handoff_block_enter(self);
    ssize_t rest = fiber_call(self, SYS_recvmsg, c->fd, c->msg, flags);
    handoff_block_leave(self);
    return (ssize_t)c->done + (rest > 0 ? rest : 0);
}

ssize_t receive_all(struct fiber *self, int fd, struct msghdr *msg, int flags)
{
    struct iovec parts[PARTS];
    struct collect c = { .fd = fd, .flags = (uint32_t)flags };
    uint64_t deadline = fd_socket_deadline(fd, false);
    if (flags & MSG_PEEK || user_check(self, msg, sizeof *msg) || msg->msg_iovlen > PARTS ||
        user_check(self, msg->msg_iov, msg->msg_iovlen * sizeof *parts) || !in_pieces(fd, &c.tcp))
        return by_kernel(self, fd, msg, flags, deadline);
    memcpy(parts, msg->msg_iov, msg->msg_iovlen * sizeof *parts);
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        if (parts[i].iov_len > MAX_TRANSFER - c.left)
            return by_kernel(self, fd, msg, flags, deadline);
        c.left += parts[i].iov_len;
    }
    if (!c.left)
        return by_kernel(self, fd, msg, flags, deadline);
    struct msghdr own = *msg;
    own.msg_iov = parts;
    c.msg = &own;
    ssize_t r = collect_all(self, &c, flags, deadline);
    if (r >= 0) {
        msg->msg_namelen = own.msg_namelen;
        msg->msg_controllen = c.control;
        msg->msg_flags = own.msg_flags;
    }
    return r;
}

ssize_t receive_all_plain(struct fiber *self, int fd, void *buf, size_t n, int flags)
{
    struct iovec iov = { buf, n < MAX_TRANSFER ? n : MAX_TRANSFER };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    return receive_all(self, fd, &msg, flags);
}
