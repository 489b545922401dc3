/* Waiting on descriptors: what the shim calls, and what a backend must give.
 *
 * Two backends implement this: uring*.c (one ring per worker) and epoll.c (one descriptor for the
 * process). A backend gives the scheduler's half (struct poller_ops, sched/sched.h) and io(). */
#ifndef POLLER_POLLER_H
#define POLLER_POLLER_H

#include "sched/sched.h"

enum io_kind {
    IO_POLL,
    IO_READ,
    IO_READV,
    IO_WRITE,
    IO_FSYNC,
    IO_SYNC_RANGE,
    IO_WAITID,
    IO_RECV,
    IO_RECVMSG,
    IO_ACCEPT,
    IO_CONNECT,
};

/* One operation that may wait. */
struct io {
    enum io_kind kind;
    enum park_reason reason;
    int fd;          /* WAITID: the id, a process or group */
    void *addr;      /* buffer, iovec array, msghdr or sockaddr */
    uint32_t len;    /* bytes, or number of iovecs; WAITID: the type of id */
    uint64_t offset; /* READ(V), WRITE: file position, -1 for the description's own, or none;
                      * ACCEPT: socklen_t *; WAITID: siginfo_t * */
    uint32_t flags;  /* MSG_*, SOCK_*, poll events, or the options of fsync or waitid */
    bool tried;      /* just found not ready: wait first */
    bool
        steady; /* a signal or a cancellation does not end it, as with a disk natively; no deadline */
    bool more; /* result: the kernel says that more is there already */
};

struct msghdr;
struct iovec;

/* A receive with MSG_WAITALL from a stream socket, in pieces. */
struct collect {
    int fd;
    uint32_t flags;     /* MSG_* */
    struct msghdr *msg; /* its iovecs advance; the rest is of the last piece that had something */
    size_t left;        /* bytes that the iovecs have room for */
    size_t done;
    size_t control; /* bytes of control data that came */
    uint64_t inode; /* of the socket; 0: not yet known */
    bool tcp;       /* else AF_UNIX */
};

struct poller_backend {
    struct poller_ops sched;
    /* Performs *io, parking the calling fiber while it waits; a bound one goes to io_direct.
     * deadline: ns of CLOCK_MONOTONIC, or TIMER_NEVER. Returns the result of the operation (poll:
     * the events), -errno, -ETIME at the deadline with nothing transferred, or -EOPNOTSUPP when
     * this backend cannot do it itself: then the caller tries without blocking and waits with
     * IO_POLL. -EINTR only when fiber_interrupt ended the wait. */
    long (*io)(struct fiber *self, struct io *io, uint64_t deadline);
    /* fd is about to be closed or replaced: requests that name it by number must reach the kernel
     * first (or, without a kernel queue, be ended). May park the fiber. */
    void (*closing)(struct fiber *self, int fd);
    /* Receives until all is there or the call has to end; c->done tells how much. Returns 0, -EINTR only when
     * fiber_interrupt ended a wait (to be called again with the same *c if the call goes on), or
     * -errno with nothing transferred; -EOPNOTSUPP: the kernel shall do the rest. */
    long (*collect)(struct fiber *self, struct collect *c, uint64_t deadline);
};

/* Before and after the program closes or replaces fd. */
void poller_closing(struct fiber *self, int fd);
void poller_closed(int fd);

/* The same for a fiber that has become bound on its way: the kernel blocks it. */
long io_direct(struct io *io, uint64_t deadline);

extern const struct poller_backend poller_uring, poller_epoll;
extern const struct poller_backend *poller;

/* Chooses a backend: "want" is poller_uring, poller_epoll or NULL for the best that works here.
 * *why tells in a few words why io_uring is not used, or NULL. */
void poller_choose(const struct poller_backend *want, bool deny_uring, const char **why);

/* Why this kernel or container cannot run the io_uring backend, or NULL. */
const char *uring_unavailable(void);

/* Whether IO_WAITID can be had. */
bool uring_waits_for_children(void);

/* Waits for events (POLL*) on fd: > 0 events, -ETIME, or -errno. */
static inline long poller_wait(struct fiber *self, int fd, uint32_t events, uint64_t deadline,
                               enum park_reason reason)
{
    struct io io = { .kind = IO_POLL, .reason = reason, .fd = fd, .flags = events };
    return poller->io(self, &io, deadline);
}

/* ---- what is known about descriptors (fd.c) ---- */

/* Hints: a program may replace a descriptor behind our back (libc closes its own files), so every
 * use must notice when the kernel disagrees. */
enum fd_kind { FD_UNKNOWN, FD_SOCKET, FD_PIPE, FD_FILE, FD_OTHER };

#define FD_LIKELY  1u /* data was there the last time, or never looked */
#define FD_TIMEOUT 2u /* a socket with SO_RCVTIMEO or SO_SNDTIMEO */
/* A socket that this process accepted without O_NONBLOCK and that nobody else can have changed: its
 * description was not duplicated, passed on, or shared by a fork since. */
#define FD_BLOCKING 4u
/* A file that open() of ours opened in this process, under the same conditions: nobody else moves its
 * position. */
#define FD_PRIVATE 8u
#define FD_DIRECT  16u /* a file with O_DIRECT: a try without waiting would wait */
#define FD_SYNC    32u /* a file with O_SYNC or O_DSYNC: each write waits for the disk */

struct fd_info {
    _Atomic uint16_t unsubmitted; /* prepared requests that name this number */
    _Atomic uint8_t kind;
    _Atomic uint8_t hints;
    _Atomic uint32_t position; /* 0 free, 1 held, 2 held with waiters: see shim/file.c */
};

#define FD_TABLE_SIZE (1 << 20)
extern struct fd_info *fd_table;

int fd_table_start(void);
static inline struct fd_info *fd_info(int fd)
{
    return likely((unsigned)fd < FD_TABLE_SIZE) ? &fd_table[fd] : NULL;
}
/* Looks the descriptor up if it is not known; FD_UNKNOWN for a bad one. */
enum fd_kind fd_classify(int fd);
void fd_forget(int fd);
/* A connection was accepted from listener with these SOCK_ flags. */
void fd_accepted(int fd, int listener, int flags);
/* open() gave this descriptor. */
void fd_opened(int fd);
/* O_NONBLOCK of fd may change, or its description gets another owner; fd < 0: of all. */
void fd_unshare(int fd);
void fd_forget_timeouts(void);
bool fd_nonblocking(int fd);
/* The deadline that SO_RCVTIMEO (SO_SNDTIMEO) gives an operation that starts now. */
uint64_t fd_socket_deadline(int fd, bool send);

#endif
