/* The io_uring backend: one ring per worker, SINGLE_ISSUER | DEFER_TASKRUN.
 *
 * With DEFER_TASKRUN the kernel does completion work only when the owner enters the ring, so it
 * never interrupts the owner's other system calls (without it, raw blocking calls on the worker
 * returned short counts and EINTR). Hence only the owner enters and reaps; others may read the
 * shared memory to see whether there is news.
 *
 * Ownership and ordering. A request is prepared by the fiber that is about to park, inside the
 * runtime; the ring is next entered by another context of the same worker, so a completion can never
 * be reaped before its fiber's registers are saved. The request (struct request) lives on the
 * fiber's stack; it has a count of completions to come (its own, and that of a cancellation), and
 * whoever takes the last one makes the fiber ready.
 *
 * A prepared request names a descriptor by number. fd_info.unsubmitted counts them until they reach
 * the kernel, and closing() makes that happen before the number can be reused.
 *
 * Stacks: io() and closing() on fibers; open, poll, sleep, waiting on scheduler stacks (poll also in
 * the rescue handler); wake and stuck from anywhere. liburing is used for preparing requests only:
 * its newer setup flags are missing in the versions that distributions carry. */
#include "poller/poller.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/futex.h>
#include "arch/syscall.h"
#include "poller/uring_abi.h"

#define SQ_ENTRIES  128u
#define CQ_ENTRIES  1024u
#define PREFETCH    4u /* completions */
#define TAG_MASK    3ul
#define TAG_REQUEST 0ul
#define TAG_CANCEL  1ul
#define TAG_WAKE    2ul

struct request {
    struct fiber *fiber;
    struct worker *owner;
    long result;
    uint32_t cqe_flags;
    _Atomic uint32_t pending; /* completions to come before the fiber may go on */
    _Atomic bool expired;
    bool done;            /* its own completion was taken; a cancellation's may be to come */
    struct request *next; /* in the owner's mail */
};

struct ring {
    struct io_uring u;
    uint32_t enter_flags;
    bool wake_armed;
    uint32_t in_flight;
    uint32_t nprepared;
    int prepared_fd[SQ_ENTRIES]; /* of requests counted in fd_info.unsubmitted */
};

static uint32_t *sq_flags(struct ring *r)
{
    return r->u.sq.kflags;
}

/* ---- set-up ---- */

static void use_memory(struct ring *r, const struct io_uring_params *p, char *rings, void *sqes)
{
    struct io_uring_sq *sq = &r->u.sq;
    struct io_uring_cq *cq = &r->u.cq;
    sq->khead = (unsigned *)(rings + p->sq_off.head);
    sq->ktail = (unsigned *)(rings + p->sq_off.tail);
    sq->kflags = (unsigned *)(rings + p->sq_off.flags);
    sq->kdropped = (unsigned *)(rings + p->sq_off.dropped);
    sq->ring_mask = *(unsigned *)(rings + p->sq_off.ring_mask);
    sq->ring_entries = *(unsigned *)(rings + p->sq_off.ring_entries);
    sq->sqes = sqes;
    cq->khead = (unsigned *)(rings + p->cq_off.head);
    cq->ktail = (unsigned *)(rings + p->cq_off.tail);
    cq->cqes = (struct io_uring_cqe *)(rings + p->cq_off.cqes);
    cq->ring_mask = *(unsigned *)(rings + p->cq_off.ring_mask);
    cq->ring_entries = *(unsigned *)(rings + p->cq_off.ring_entries);
}

/* A ring without any descriptor: immune to close_range(), invisible in /proc/self/fd. */
static int set_up(struct ring *r, uint32_t sq_entries, uint32_t cq_entries)
{
    size_t sqes_size = ALIGN_UP(sq_entries * sizeof(struct io_uring_sqe), 4096);
    size_t rings_size = ALIGN_UP(512 + cq_entries * sizeof(struct io_uring_cqe) + sq_entries * 4,
                                 4096);
    char *memory = mmap(NULL, sqes_size + rings_size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_NO_MMAP | IORING_SETUP_REGISTERED_FD_ONLY |
                 IORING_SETUP_NO_SQARRAY,
        .cq_entries = cq_entries,
    };
    uint64_t sqes_at = (uintptr_t)memory, rings_at = (uintptr_t)memory + sqes_size;
    /* user_addr is the last word of both offset structures. */
    memcpy((char *)&p.sq_off + sizeof p.sq_off - 8, &sqes_at, 8);
    memcpy((char *)&p.cq_off + sizeof p.cq_off - 8, &rings_at, 8);
    long fd = sys_call(SYS_io_uring_setup, sq_entries, &p);
    if (fd < 0) {
        munmap(memory, sqes_size + rings_size);
        return (int)fd;
    }
    madvise(memory, sqes_size + rings_size, MADV_DONTFORK); /* a child's SQE would be ours */
    memset(&r->u, 0, sizeof r->u);
    r->u.ring_fd = r->u.enter_ring_fd = (int)fd;
    r->u.flags = p.flags;
    r->u.features = p.features;
    r->enter_flags = IORING_ENTER_REGISTERED_RING;
    use_memory(r, &p, memory + sqes_size, memory);
    r->u.sq.ring_ptr = memory;
    r->u.sq.ring_sz = sqes_size + rings_size;
    return 0;
}

static long enter(struct ring *r, unsigned submit, unsigned wait, unsigned flags, void *arg,
                  size_t size)
{
    return sys_call(SYS_io_uring_enter, r->u.enter_ring_fd, submit, wait, flags | r->enter_flags,
                    arg, size);
}

static long ring_register(struct ring *r, unsigned op, void *arg, unsigned n)
{
    return sys_call(SYS_io_uring_register, r->u.ring_fd, op | IORING_REGISTER_USE_REGISTERED_RING,
                    arg, n);
}

/* io-wq: the kernel's helper threads for operations that cannot be done without blocking. */
static void limit_helpers(struct ring *r)
{
    uint32_t max[2] = { 8, 8 };
    ring_register(r, IORING_REGISTER_IOWQ_MAX_WORKERS, max, 2);
}

/* The ring that the probe made, kept for the first worker that opens one on the same kernel thread.
 * It is never closed: the kernel would later interrupt a blocking call of the thread that made it,
 * with an EINTR that no signal explains. */
static struct ring *probed;
static uint32_t probed_by;

static int make_ring(struct ring **ring)
{
    size_t size = ALIGN_UP(sizeof(struct ring), 4096);
    struct ring *r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        return -ENOMEM;
    int err = set_up(r, SQ_ENTRIES, CQ_ENTRIES);
    if (err == -ENOMEM)
        err = set_up(r, 16, 64); /* little lockable memory */
    if (err) {
        munmap(r, size);
        return err;
    }
    limit_helpers(r);
    *ring = r;
    return 0;
}

static int uring_open(struct worker *w)
{
    if (probed && probed_by == w->ktid) {
        w->ring = probed;
        probed = NULL;
        return 0;
    }
    return make_ring(&w->ring);
}

static const char *reason(int err)
{
    switch (err) {
    case -ENOSYS:
        return "the kernel has no io_uring";
    case -EPERM:
    case -EACCES:
        return "io_uring is not permitted here (seccomp or kernel.io_uring_disabled)";
    case -EINVAL:
        return "the kernel's io_uring is too old (6.7 is needed)";
    case -ENOMEM:
        return "not enough lockable memory for a ring (ulimit -l)";
    default:
        return "io_uring_setup failed";
    }
}

const char *uring_unavailable(void)
{
    struct ring *r;
    int err = make_ring(&r);
    if (err)
        return reason(err);
    char memory[sizeof(struct io_uring_probe) + 64 * sizeof(struct io_uring_probe_op)] = { 0 };
    struct io_uring_probe *probe = (struct io_uring_probe *)memory;
    long res = ring_register(r, IORING_REGISTER_PROBE, probe, 64);
    if (res || probe->last_op < URING_OP_FUTEX_WAIT ||
        !(probe->ops[URING_OP_FUTEX_WAIT].flags & IO_URING_OP_SUPPORTED))
        return "the kernel's io_uring cannot wait on futexes (6.7 is needed)";
    probed = r;
    probed_by = (uint32_t)sys_call(SYS_gettid);
    return NULL;
}

/* ---- submitting ---- */

static unsigned unsubmitted(struct ring *r)
{
    return r->u.sq.sqe_tail - r->u.sq.sqe_head;
}

/* Everything prepared so far is the kernel's with the next enter. */
static unsigned flush(struct ring *r)
{
    unsigned n = unsubmitted(r);
    if (n) {
        r->u.sq.sqe_head = r->u.sq.sqe_tail;
        io_uring_smp_store_release(r->u.sq.ktail, r->u.sq.sqe_tail); /* partner: the kernel */
    }
    return r->u.sq.sqe_tail - io_uring_smp_load_acquire(r->u.sq.khead);
}

static void submitted(struct ring *r)
{
    /* SUBMIT_ALL: a request that fails at once is consumed too, with an error completion. */
    for (uint32_t i = 0; i < r->nprepared; i++)
        atomic_fetch_sub_explicit(&fd_table[r->prepared_fd[i]].unsubmitted, 1,
                                  memory_order_release);
    r->nprepared = 0;
}

/* One io_uring_enter: submits what is prepared. Returns its result. */
static long submit(struct ring *r, unsigned wait, unsigned flags, void *arg, size_t size)
{
    unsigned n = flush(r);
    long res = enter(r, n, wait, flags, arg, size);
    if (io_uring_smp_load_acquire(r->u.sq.khead) == r->u.sq.sqe_tail)
        submitted(r);
    return res;
}

static void take_mail(struct worker *w);

static struct io_uring_sqe *get_sqe(struct worker *w)
{
    struct ring *r = w->ring;
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&r->u)) || unlikely(r->nprepared == SQ_ENTRIES)) {
        if (submit(r, 0, 0, NULL, 0) == -EBUSY) /* completions overflow: make room */
            poller_uring.sched.poll(w, w->proc, 64, true);
    }
    return sqe;
}

static void name_fd(struct ring *r, int fd)
{
    struct fd_info *info = fd_info(fd);
    if (info) {
        add_relaxed(&info->unsubmitted, 1);
        r->prepared_fd[r->nprepared++] = fd;
    }
}

static void prepare_cancel(struct worker *w, struct request *q)
{
    struct io_uring_sqe *sqe = get_sqe(w);
    io_uring_prep_cancel(sqe, q, 0);
    io_uring_sqe_set_data64(sqe, (uintptr_t)q | TAG_CANCEL);
    w->ring->in_flight++;
}

static void take_mail(struct worker *w)
{
    if (!w->mail)
        return;
    lock_acquire(&w->mail_lock);
    struct request *q = w->mail;
    w->mail = NULL;
    lock_release(&w->mail_lock);
    while (q) {
        struct request *next = q->next;
        prepare_cancel(w, q);
        q = next;
    }
}

/* For its owner to see. */
static void post_cancel(struct request *q)
{
    struct worker *owner = q->owner;
    lock_acquire(&owner->mail_lock);
    q->next = owner->mail;
    owner->mail = q;
    lock_release(&owner->mail_lock);
}

/* ---- completing ---- */

static unsigned cq_ready(struct ring *r)
{
    return io_uring_smp_load_acquire(r->u.cq.ktail) - *r->u.cq.khead; /* partner: the kernel */
}

static int reap(struct ring *r, struct proc *to, int max)
{
    unsigned head = *r->u.cq.khead;
    unsigned tail = io_uring_smp_load_acquire(r->u.cq.ktail);
    int fibers = 0;
    for (; head != tail && fibers < max; head++) {
        struct io_uring_cqe *cqe = &r->u.cq.cqes[head & r->u.cq.ring_mask];
        /* Requests lie on thousands of cold stacks: fetch a few ahead (a stale entry is harmless). */
        __builtin_prefetch(
            (void *)(r->u.cq.cqes[(head + PREFETCH) & r->u.cq.ring_mask].user_data & ~TAG_MASK));
        uint64_t data = cqe->user_data;
        struct request *q = (struct request *)(data & ~TAG_MASK);
        switch (data & TAG_MASK) {
        case TAG_WAKE:
            r->wake_armed = false;
            continue;
        case TAG_REQUEST:
            q->result = cqe->res;
            q->cqe_flags = cqe->flags;
            q->done = true;
        }
        r->in_flight--;
        if (unlikely((data & TAG_MASK) == TAG_CANCEL && cqe->res == -ENOENT && !q->done)) {
            /* On its way from one of the kernel's queues to another: once more. */
            post_cancel(q);
            continue;
        }
        /* Acquire-release: the last of two completions sees what the other one stored. */
        if (atomic_fetch_sub_explicit(&q->pending, 1, memory_order_acq_rel) == 1) {
            struct fiber *f = q->fiber;
            char *sp = f->sp; /* saved: the fiber is parked */
            __builtin_prefetch(sp);
            __builtin_prefetch(sp + CACHE_LINE);
            __builtin_prefetch(sp + 2 * CACHE_LINE);
            sched_deliver(to, f);
            fibers++;
        }
    }
    io_uring_smp_store_release(r->u.cq.khead,
                               head); /* partner: the kernel, which reuses the slots */
    return fibers;
}

#define KERNEL_NEWS (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)

static int uring_poll(struct worker *w, struct proc *to, int max, bool flush_too)
{
    struct ring *r = w->ring;
    take_mail(w);
    int fibers = 0;
    if (flush_too && unsubmitted(r))
        submit(r, 0, IORING_ENTER_GETEVENTS, NULL, 0);
    /* The kernel runs a limited number of deferred completions per enter. */
    for (int round = 0; round < 16; round++) {
        if (fibers < max && cq_ready(r))
            fibers += reap(r, to, max - fibers);
        if (fibers >= max || !(IO_URING_READ_ONCE(*sq_flags(r)) & KERNEL_NEWS))
            break;
        submit(r, 0, IORING_ENTER_GETEVENTS, NULL, 0);
    }
    return fibers;
}

static int uring_waiting(struct worker *w)
{
    struct ring *r = w->ring;
    unsigned head = *r->u.cq.khead, tail = io_uring_smp_load_acquire(r->u.cq.ktail);
    int n = 0;
    for (; head != tail; head++)
        n += (r->u.cq.cqes[head & r->u.cq.ring_mask].user_data & TAG_MASK) != TAG_WAKE;
    return n;
}

/* ---- sleeping ---- */

static void uring_sleep(struct worker *w, uint64_t deadline)
{
    struct ring *r = w->ring;
    if (load_relaxed(&w->wake) & WAKE_MAIL)
        atomic_fetch_and_explicit(&w->wake, ~WAKE_MAIL, memory_order_acquire);
    take_mail(w);
    if (r->wake_armed && cq_ready(r) && !uring_waiting(w))
        reap(r, NULL, 1); /* only the spent wake-up is there */
    if (cq_ready(r) || load_relaxed(&w->wake))
        return;
    if (!r->wake_armed) {
        struct io_uring_sqe *sqe = get_sqe(w);
        io_uring_prep_rw(URING_OP_FUTEX_WAIT, sqe, URING_FUTEX2_SIZE_U32 | URING_FUTEX2_PRIVATE,
                         &w->wake, 0, 0);
        sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
        io_uring_sqe_set_data64(sqe, TAG_WAKE);
        r->wake_armed = true;
    }
    struct __kernel_timespec ts;
    struct io_uring_getevents_arg arg = { 0 };
    if (deadline != TIMER_NEVER) {
        uint64_t now = timer_now(), left = deadline > now ? deadline - now : 0;
        ts.tv_sec = (int64_t)(left / NSEC_PER_SEC);
        ts.tv_nsec = (long long)(left % NSEC_PER_SEC);
        arg.ts = (uintptr_t)&ts;
    }
    submit(r, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
}

static void uring_wake(struct worker *w)
{
    sys_call(SYS_futex, &w->wake, FUTEX_WAKE_PRIVATE, 1);
}

static bool uring_stuck(struct worker *w)
{
    struct ring *r = w->ring;
    /* Without requests there can only be a spent wake-up. */
    return r && r->in_flight &&
           (unsubmitted(r) || (IO_URING_READ_ONCE(*sq_flags(r)) & KERNEL_NEWS) || cq_ready(r) ||
            w->mail);
}

static void uring_rescue(struct worker *w)
{
    uring_poll(w, NULL, 1 << 20, true);
}

static bool uring_busy(struct worker *w)
{
    return w->ring->in_flight || w->mail;
}

/* ---- operations ---- */

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
        prepare_cancel(w, q);
        return;
    }
    post_cancel(q);
    atomic_fetch_or_explicit(&owner->wake, WAKE_MAIL, memory_order_release);
    uring_wake(owner);
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

static long uring_io(struct fiber *self, struct io *io, uint64_t deadline)
{
    struct worker *w = runtime_enter(self);
    struct request q = { .fiber = self, .owner = w, .pending = 1 };
    struct io_uring_sqe *sqe = get_sqe(w);
    prepare(sqe, io);
    io_uring_sqe_set_data64(sqe, (uintptr_t)&q);
    name_fd(w->ring, io->fd);
    w->ring->in_flight++;
    bool early = fiber_park_interruptible(self, io->reason, &q, NULL, &q, deadline, expire);
    runtime_leave(self);
    io->more = q.cqe_flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (load_relaxed(&q.expired) && (q.result == -ECANCELED || q.result == -EINTR))
        return early ? -EINTR : -ETIME;
    return q.result;
}

static void uring_closing(struct fiber *self, int fd)
{
    struct fd_info *info = fd_info(fd);
    /* Acquire: pairs with the release after the kernel took the request. */
    if (!info || !load_acquire(&info->unsubmitted))
        return;
    struct worker *w = runtime_enter(self);
    if (!w)
        return;
    submit(w->ring, 0, 0, NULL, 0);
    runtime_leave(self);
    /* Somebody else's ring: its worker submits within a scheduler pass, or is rescued. */
    while (load_acquire(&info->unsubmitted))
        fiber_yield(self);
}

static void uring_after_fork(void)
{
    probed = NULL; /* its memory is not in the child */
}

const struct poller_backend poller_uring = {
    .sched = {
        .name = "io_uring",
        .open = uring_open,
        .poll = uring_poll,
        .sleep = uring_sleep,
        .wake = uring_wake,
        .waiting = uring_waiting,
        .stuck = uring_stuck,
        .rescue = uring_rescue,
        .busy = uring_busy,
        .after_fork = uring_after_fork,
    },
    .io = uring_io,
    .closing = uring_closing,
};
