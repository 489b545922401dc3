/* MSG_WAITALL where the kernel is not to wait: the bytes are received in pieces, and the fiber parks between
 * them.
 *
 * What the kernel does in its own loop between two pieces is done here as well. It stops at TCP's urgent mark, after a
 * piece with which descriptors came, and at the end of the stream; an error that comes after some bytes is
 * left for the next call on TCP, and lost on AF_UNIX.
 *
 * From its first step to its last the call stays inside the runtime. So no handler of the program's runs between
 * a piece and the wait for the next, which it has to end; and none leaves the call by longjmp.
 *
 * Called on fibers' stacks (shim/waitall.c). */
#include "poller/collect.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "arch/syscall.h"

/* The first n bytes of the room have been filled. */
static void advance(struct msghdr *m, size_t n)
{
    while (m->msg_iovlen && n >= m->msg_iov->iov_len) {
        n -= m->msg_iov->iov_len;
        m->msg_iov++;
        m->msg_iovlen--;
    }
    if (n) {
        m->msg_iov->iov_base = (char *)m->msg_iov->iov_base + n;
        m->msg_iov->iov_len -= n;
    }
}

/* With bytes transferred: whether the kernel's loop would end here without looking for more. */
static bool ends_here(const struct collect *c, int fd, long events)
{
    int n = 0;
    if (!c->tcp)
        return false;
    if (sys_call(SYS_ioctl, fd, SIOCATMARK, &n) == 0 && n)
        return true;
    return events & POLLERR && (sys_call(SYS_ioctl, fd, SIOCINQ, &n) || n == 0);
}

static uint64_t inode_of(int fd)
{
    struct stat st;
    return sys_call(SYS_fstat, fd, &st) ? 0 : st.st_ino;
}

/* Between hold_step_begin and hold_step_end. What was received, 0: the call ends, or -errno. */
static long piece(struct collect *c, int fd, long events)
{
    struct msghdr m = *c->msg;
    if (c->done && ends_here(c, fd, events))
        return 0;
    long r = sys_call(SYS_recvmsg, fd, &m, c->flags | MSG_DONTWAIT);
    if (r < 0 || (r == 0 && c->done))
        return r;
    bool more = m.msg_controllen || m.msg_flags & MSG_CTRUNC;
    c->msg->msg_namelen = m.msg_namelen;
    c->msg->msg_flags = m.msg_flags;
    c->done += (size_t)r;
    c->left -= (size_t)r;
    c->control = m.msg_controllen ? m.msg_controllen : c->control;
    advance(c->msg, (size_t)r);
    return c->tcp || !more ? r : 0;
}

long collect(struct fiber *self, struct collect *c, uint64_t deadline,
             long (*wait)(struct fiber *, struct hold *, uint32_t events, uint64_t deadline))
{
    struct hold h;
    runtime_enter(self);
    if (load_relaxed(&self->flags) & FIBER_DIRECT || !hold_begin(&h, c->fd)) {
        runtime_leave(self);
        return -EOPNOTSUPP;
    }
    long r, events = 0;
    /* Was it another file's number for the time of a handler that did not run? */
    uint64_t inode = inode_of(c->fd);
    if (c->done && inode != c->inode)
        r = -EBADF;
    else
        for (c->inode = inode;;) {
            int fd = hold_step_begin(&h);
            r = fd < 0 ? -EBADF : piece(c, fd, events);
            hold_step_end(&h);
            if ((r <= 0 && r != -EAGAIN) || !c->left)
                break;
            /* An urgent byte alone makes no readable socket, and ends the call. */
            uint32_t more = c->tcp && c->done ? POLLPRI : 0;
            r = wait(self, &h, POLLIN | more, deadline);
            if (r < 0 && (r != -EBADF || load_relaxed(&h.fd) == fd))
                break;
            events = r < 0 ? 0 : r;
        }
    hold_end(&h);
    runtime_leave(self);
    return r == -EINTR || (r < 0 && !c->done) ? r : 0;
}

void poller_closing(struct fiber *self, int fd)
{
    if (unlikely(hold_closing_begin(fd))) {
        runtime_enter(self);
        hold_move(fd);
        runtime_leave(self);
    }
    poller->closing(self, fd);
}

void poller_closed(int fd)
{
    hold_closing_end(fd);
}
