/* Operations on the ring, from the fiber's side: prepare, park, and what the result means.
 *
 * A request names a descriptor by number until the kernel has taken it; fd_info.unsubmitted counts
 * those, and uring_closing makes them reach the kernel before the number can mean another file.
 * Called on fibers' stacks; expire on scheduler stacks as well. */
#include "poller/uring.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include "arch/syscall.h"
#include "poller/collect.h"
#include "poller/uring_abi.h"

/* The deadline passed: cancel, on the ring that has the request. The fiber goes on when both the
 * request's and the cancellation's completion are there, so neither can meet a reused address. */
static void expire(struct worker *w, void *arg)
{
    struct request *q = arg;
    uint32_t pending = load_relaxed(&q->pending);
    /* A deadline and an interruption may come together: one of them is enough. */
    if (atomic_exchange_explicit(&q->expired, true, memory_order_relaxed))
        return;
    do {
        if (!pending)
            return; /* completed; about to run */
    } while (!atomic_compare_exchange_weak_explicit(&q->pending, &pending, pending + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    struct worker *owner = q->owner;
    if (owner == w) {
        uring_cancel(w, q);
        return;
    }
    uring_post_cancel(q);
    atomic_fetch_or_explicit(&owner->wake, WAKE_MAIL, memory_order_release);
    uring_wake(owner);
}

static void name_fd(struct ring *r, int fd)
{
    struct fd_info *info = fd_info(fd);
    if (info) {
        add_relaxed(&info->unsubmitted, 1);
        r->prepared_fd[r->nprepared++] = fd;
    }
}

static void prepare(struct io_uring_sqe *sqe, const struct io *io)
{
    switch (io->kind) {
    case IO_POLL:
        io_uring_prep_poll_add(sqe, io->fd, io->flags);
        break;
    case IO_READ:
        io_uring_prep_read(sqe, io->fd, io->addr, io->len, io->offset);
        break;
    case IO_READV:
        io_uring_prep_readv(sqe, io->fd, io->addr, io->len, io->offset);
        break;
    case IO_WRITE:
        io_uring_prep_write(sqe, io->fd, io->addr, io->len, io->offset);
        break;
    case IO_FSYNC:
        io_uring_prep_fsync(sqe, io->fd, io->flags);
        break;
    case IO_SYNC_RANGE:
        io_uring_prep_sync_file_range(sqe, io->fd, io->len, io->offset, (int)io->flags);
        break;
    case IO_WAITID:
        io_uring_prep_rw(URING_OP_WAITID, sqe, io->fd, NULL, io->len, io->offset);
        sqe->file_index = io->flags;
        break;
    case IO_RECV:
        io_uring_prep_recv(sqe, io->fd, io->addr, io->len, (int)io->flags);
        sqe->ioprio = io->tried ? IORING_RECVSEND_POLL_FIRST : 0;
        break;
    case IO_RECVMSG:
        io_uring_prep_recvmsg(sqe, io->fd, io->addr, io->flags);
        sqe->ioprio = io->tried ? IORING_RECVSEND_POLL_FIRST : 0;
        break;
    case IO_ACCEPT:
        io_uring_prep_accept(sqe, io->fd, io->addr, (socklen_t *)(uintptr_t)io->offset,
                             (int)io->flags);
        break;
    case IO_CONNECT:
        io_uring_prep_connect(sqe, io->fd, io->addr, io->len);
        break;
    }
}

/* The ring's poll always asks for POLLRDHUP too, and where a peer has shut down its side it has that at
 * once, for ever: a wait for room would spin, and never come to its deadline. An epoll descriptor
 * asks for what it is told only. Without one (no descriptors left) the kernel blocks us, briefly. */
static long wait_past_hangup(struct fiber *self, const struct io *io, uint64_t deadline)
{
    struct epoll_event e = { .events = io->flags };
    int epfd = (int)sys_call(SYS_epoll_create1, EPOLL_CLOEXEC);
    long r = epfd < 0 ? epfd : sys_call(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, io->fd, &e);
    if (epfd >= 0)
        fd_forget(epfd);
    if (r < 0) {
        uint64_t later = timer_now() + 10 * NSEC_PER_MSEC;
        struct io again = *io;
        r = io_direct(&again, later < deadline ? later : deadline);
        if (r < 0 && (later < deadline || r == -EINTR))
            r = POLLRDHUP; /* the next wait is ended by what ends it: a signal, the deadline */
    } else {
        struct io ready = { .kind = IO_POLL, .reason = io->reason, .fd = epfd, .flags = POLLIN };
        while ((r = uring_io(self, &ready, deadline)) > 0)
            if (sys_call(SYS_epoll_wait, epfd, &e, 1, 0) == 1) {
                r = (long)e.events;
                break;
            }
    }
    if (epfd >= 0) {
        uring_closing(self, epfd);
        sys_call(SYS_close, epfd);
    }
    return r;
}

/* Inside the runtime. hold: -EBADF if its number is no longer the descriptor. */
static inline long request(struct fiber *self, const struct io *io, uint64_t deadline,
                           struct hold *hold, struct request *q)
{
    struct worker *w = self->worker;
    *q = (struct request){ .fiber = self, .owner = w, .pending = 1 };
    struct io_uring_sqe *sqe = uring_sqe(w);
    prepare(sqe, io);
    if (io->kind != IO_WAITID)
        name_fd(w->ring, io->fd);
    bool moved = false;
    if (hold) {
        fence_seq(); /* partner: hold_move, which changes the number before uring_closing looks */
        moved = load_relaxed(&hold->fd) != io->fd;
        if (moved)
            io_uring_prep_nop(sqe);
    }
    io_uring_sqe_set_data64(sqe, (uintptr_t)q);
    w->ring->in_flight++;
    bool early = false;
    if (io->steady || moved)
        fiber_park(self, io->reason, q, NULL, NULL);
    else
        early = fiber_park_interruptible(self, io->reason, q, NULL, q, deadline, expire);
    if (moved)
        return -EBADF;
    if (load_relaxed(&q->expired) && (q->result == -ECANCELED || q->result == -EINTR))
        return early ? -EINTR : -ETIME;
    return q->result;
}

long uring_io(struct fiber *self, struct io *io, uint64_t deadline)
{
    if (io->kind == IO_WAITID && !uring_knows(URING_OP_WAITID))
        return -EOPNOTSUPP;
    struct worker *w = runtime_enter(self);
    if (unlikely(!w)) {
        runtime_leave(self);
        return io_direct(io, deadline);
    }
    struct request q;
    long r = request(self, io, deadline, NULL, &q);
    runtime_leave(self);
    io->more = q.cqe_flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (unlikely(r == POLLRDHUP) && io->kind == IO_POLL && !(io->flags & POLLRDHUP))
        return wait_past_hangup(self, io, deadline);
    return r;
}

static long wait_held(struct fiber *self, struct hold *h, uint32_t events, uint64_t deadline)
{
    struct request q;
    struct io io = {
        .kind = IO_POLL, .reason = PARK_READ, .fd = load_relaxed(&h->fd), .flags = events
    };
    return io.fd < 0 ? -EBADF : request(self, &io, deadline, h, &q);
}

long uring_collect(struct fiber *self, struct collect *c, uint64_t deadline)
{
    return collect(self, c, deadline, wait_held);
}

long uring_futex_wait(struct fiber *self, const struct futex_wait *what, enum park_reason reason,
                      uint64_t deadline)
{
    struct worker *w = runtime_enter(self);
    struct request q = { .fiber = self, .owner = w, .pending = 1 };
    struct io_uring_sqe *sqe = uring_sqe(w);
    if (what->n) {
        io_uring_prep_rw(URING_OP_FUTEX_WAITV, sqe, 0, what->addr, what->n, 0);
    } else {
        io_uring_prep_rw(URING_OP_FUTEX_WAIT, sqe, (int)what->flags, what->addr, 0, what->value);
        sqe->addr3 = what->bits;
    }
    io_uring_sqe_set_data64(sqe, (uintptr_t)&q);
    w->ring->in_flight++;
    bool early = fiber_park_interruptible(self, reason, what->addr, NULL, &q, deadline, expire);
    runtime_leave(self);
    if (load_relaxed(&q.expired) && (q.result == -ECANCELED || q.result == -EINTR))
        return early ? -EINTR : -ETIMEDOUT;
    return q.result;
}

/* A worker that goes to sleep submits in the same system call, and says so when that returns. */
static void wake_sleepers(void)
{
    for (struct worker *w = load_acquire(&sched.workers); w; w = w->all) {
        struct ring *r = w->ring;
        if (r && *(volatile uint32_t *)&r->nprepared && !(load_relaxed(&w->wake) & WAKE_MAIL)) {
            atomic_fetch_or_explicit(&w->wake, WAKE_MAIL, memory_order_release);
            uring_wake(w);
        }
    }
}

void uring_closing(struct fiber *self, int fd)
{
    struct fd_info *info = fd_info(fd);
    /* Acquire: pairs with the release after the kernel took the request. */
    if (!info || !load_acquire(&info->unsubmitted))
        return;
    struct worker *w = runtime_enter(self);
    if (!w) {
        runtime_leave(self);
        /* Not ours to submit: the worker does within a pass, or its rescue. */
        struct timespec ts = { 0, 50000 };
        while (load_acquire(&info->unsubmitted)) {
            wake_sleepers();
            monitor_wake();
            sys_call(SYS_nanosleep, &ts, NULL);
        }
        return;
    }
    uring_submit(w->ring, 0, 0, NULL, 0);
    runtime_leave(self);
    /* Somebody else's ring: its worker submits within a scheduler pass, or is rescued. */
    while (load_acquire(&info->unsubmitted)) {
        wake_sleepers();
        fiber_yield(self);
    }
}
