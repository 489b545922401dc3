/* What the bodies for descriptors share: fdio.c, file.c, move.c, mmsg.c and mq.c. Results are the
 * kernel's kind. */
#ifndef SHIM_FDIO_H
#define SHIM_FDIO_H

#include "shim/calls.h"

#include "arch/syscall.h"
#include "poller/poller.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif
#define MAX_TRANSFER 0x7ffff000ul /* the kernel's limit for one call */
#define NO_OFFSET    ((uint64_t)-1)

/* A system call that may block the kernel thread; the proc is passed on if it lasts. One that is a
 * cancellation point is made by CALL_RESTART. */
#define HANDED_OFF(self, call)                                                                     \
    ({                                                                                             \
        handoff_enter(self);                                                                       \
        long passed_ = (call);                                                                     \
        handoff_leave(self);                                                                       \
        passed_;                                                                                   \
    })

/* The same for a call that is about to block for long. */
#define BLOCKED(self, call)                                                                        \
    ({                                                                                             \
        handoff_block_enter(self);                                                                 \
        long passed_ = (call);                                                                     \
        handoff_block_leave(self);                                                                 \
        passed_;                                                                                   \
    })

static inline ssize_t handed_off(struct fiber *self, long nr, int fd, const void *buf, size_t n,
                                 uint64_t offset)
{
    return HANDED_OFF(self, CALL_RESTART(self, true, nr, fd, buf, n, offset));
}

/* Without waiting; -EAGAIN if it would, -EOPNOTSUPP if this descriptor cannot tell. */
static inline ssize_t try_read(int fd, const struct iovec *iov, int count, uint64_t offset)
{
    return sys_call(SYS_preadv2, fd, iov, count, offset, offset == NO_OFFSET ? ~0ul : 0,
                    RWF_NOWAIT);
}

static inline ssize_t try_write(int fd, const struct iovec *iov, int count)
{
    return sys_call(SYS_pwritev2, fd, iov, count, -1l, -1l, RWF_NOWAIT);
}

/* A deadline that passed with nothing transferred is EAGAIN to the program. */
static inline ssize_t timed_out(ssize_t r)
{
    return r == -ETIME ? -EAGAIN : r;
}

/* read and write on any descriptor, at its own position. */
ssize_t read_any(struct fiber *self, int fd, const struct iovec *iov, int count);
ssize_t writev_any(struct fiber *self, int fd, const struct iovec *iov, int count);

static inline size_t message_bytes(const struct msghdr *msg)
{
    size_t n = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        n += msg->msg_iov[i].iov_len;
    return n;
}

/* Sockets (socket.c): the rest, when done bytes were sent already. */
ssize_t socket_sendmsg_rest(struct fiber *self, int fd, const struct msghdr *msg, int flags,
                            ssize_t done, uint64_t deadline);

/* MSG_WAITALL on a stream (waitall.c). */
ssize_t receive_all(struct fiber *self, int fd, struct msghdr *msg, int flags);
ssize_t receive_all_plain(struct fiber *self, int fd, void *buf, size_t n, int flags);

/* Files (file.c). offset: NO_OFFSET for the position of the description. */
ssize_t file_read(struct fiber *self, int fd, const struct iovec *iov, int count, uint64_t offset);
ssize_t file_write(struct fiber *self, int fd, const struct iovec *iov, int count, uint64_t offset);

#endif
