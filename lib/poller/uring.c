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
 * Making a ring is in uring_setup.c, the operations are in uring_io.c.
 *
 * Stacks: poll, sleep, waiting on scheduler stacks (poll also in the rescue handler); wake and stuck
 * from anywhere. liburing is used for preparing requests only. */
#include "poller/uring.h"

#include <errno.h>
#include <string.h>
#include <linux/futex.h>
#include "arch/syscall.h"
#include "poller/uring_abi.h"

static uint32_t *sq_flags(struct ring *r)
{
    return r->u.sq.kflags;
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
long uring_submit(struct ring *r, unsigned wait, unsigned flags, void *arg, size_t size)
{
    unsigned n = flush(r);
    long res = uring_enter(r, n, wait, flags, arg, size);
    if (io_uring_smp_load_acquire(r->u.sq.khead) == r->u.sq.sqe_tail)
        submitted(r);
    return res;
}

struct io_uring_sqe *uring_sqe(struct worker *w)
{
    struct ring *r = w->ring;
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&r->u)) || unlikely(r->nprepared == SQ_ENTRIES)) {
        if (uring_submit(r, 0, 0, NULL, 0) == -EBUSY) /* completions overflow: make room */
            poller_uring.sched.poll(w, w->proc, 64, true);
    }
    return sqe;
}

void uring_cancel(struct worker *w, struct request *q)
{
    struct io_uring_sqe *sqe = uring_sqe(w);
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
        uring_cancel(w, q);
        q = next;
    }
}

/* For its owner to see. */
void uring_post_cancel(struct request *q)
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
            uring_post_cancel(q);
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
        uring_submit(r, 0, IORING_ENTER_GETEVENTS, NULL, 0);
    /* The kernel runs a limited number of deferred completions per enter. */
    for (int round = 0; round < 16; round++) {
        if (fibers < max && cq_ready(r))
            fibers += reap(r, to, max - fibers);
        if (fibers >= max || !(IO_URING_READ_ONCE(*sq_flags(r)) & KERNEL_NEWS))
            break;
        uring_submit(r, 0, IORING_ENTER_GETEVENTS, NULL, 0);
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
        struct io_uring_sqe *sqe = uring_sqe(w);
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
    uring_submit(r, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
}

void uring_wake(struct worker *w)
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
        .futex_wait = uring_futex_wait,
        .after_fork = uring_after_fork,
    },
    .io = uring_io,
    .closing = uring_closing,
    .collect = uring_collect,
};
