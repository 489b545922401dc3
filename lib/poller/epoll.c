/* The epoll backend, for kernels and containers without io_uring.
 *
 * One epoll descriptor for the process. A fiber that waits registers its descriptor for one event
 * (EPOLLONESHOT, armed anew by each waiter), so a registration left behind by a closed duplicate
 * can at worst wake somebody who then looks again. One sleeping worker at a time waits in
 * epoll_wait, the others on their wake word; busy workers look in every scheduler pass, and the
 * monitor does when all are stuck.
 *
 * Difference to io_uring and to kernel threads: closing a descriptor ends the waits on it with
 * EBADF, because nothing keeps the old file for the waiter; without that it could be woken for
 * another file of the same number. A receive that collects pieces goes on (hold.c).
 *
 * Stacks: io() and closing() on fibers, the rest on scheduler stacks or the monitor's. */
#include "poller/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include "arch/syscall.h"

#define EVENTS  64
#define WAKE_FD (-1)

struct waiter {
    struct waiter *next;
    struct fiber *fiber;
    int fd;
    uint32_t events;
    long result;
    bool queued;
};

/* Waiters of one descriptor number. */
struct fd_waiters {
    struct lock lock;
    struct waiter *first;
};

/* What a worker took from the kernel and has not delivered yet: events[next] to events[count - 1]. */
struct ring {
    struct lock lock; /* for both, and for the events between them */
    _Atomic int next, count;
    struct epoll_event events[EVENTS];
};

static struct {
    int fd, wake_fd;
    struct fd_waiters *table;
    _Atomic uint32_t waiting; /* fibers */
    _Atomic(struct worker *) poller;
} state = { .fd = -1, .wake_fd = -1 };

/* The program may expect the lowest free number for its next descriptor. */
static int move_up(int fd)
{
    struct rlimit limit = { 0, 0 };
    getrlimit(RLIMIT_NOFILE, &limit);
    int high = (int)sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit.rlim_cur / 2);
    if (high >= 0) {
        sys_call(SYS_close, fd);
        fd = high;
    }
    return fd;
}

static int epoll_open(struct worker *w)
{
    if (!state.table) {
        void *p = mmap(NULL, FD_TABLE_SIZE * sizeof *state.table, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return -ENOMEM;
        state.table = p;
    }
    if (state.fd < 0) {
        int fd = (int)sys_call(SYS_epoll_create1, EPOLL_CLOEXEC);
        int wake_fd = (int)sys_call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0 || wake_fd < 0)
            return -EMFILE;
        state.fd = move_up(fd);
        state.wake_fd = move_up(wake_fd);
        /* Level-triggered, emptied by the sleeper: a busy worker or the monitor that looks in between
         * must not take the sleeper's wake-up away. */
        struct epoll_event e = { .events = EPOLLIN, .data.fd = WAKE_FD };
        sys_call(SYS_epoll_ctl, state.fd, EPOLL_CTL_ADD, state.wake_fd, &e);
    }
    void *r = mmap(NULL, ALIGN_UP(sizeof(struct ring), 4096), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        return -ENOMEM;
    w->ring = r;
    return 0;
}

static int take(struct epoll_event *events, uint64_t wait_ns)
{
    struct timespec ts = { (time_t)(wait_ns / NSEC_PER_SEC), (long)(wait_ns % NSEC_PER_SEC) };
    long n = -ENOSYS;
    if (wait_ns)
        n = sys_call(SYS_epoll_pwait2, state.fd, events, EVENTS,
                     wait_ns == TIMER_NEVER ? NULL : &ts, NULL, 8);
    if (n == -ENOSYS) { /* before Linux 5.11, or no wait at all */
        uint64_t ms = (wait_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
        int timeout = wait_ns == TIMER_NEVER ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms;
        n = sys_call(SYS_epoll_pwait, state.fd, events, EVENTS, timeout, NULL, 8);
    }
    return n < 0 ? 0 : (int)n;
}

/* Registers for the union of what the queued waiters want. Under the lock. */
static int arm(struct fd_waiters *q, int fd)
{
    struct epoll_event e = { .events = EPOLLONESHOT, .data.fd = fd };
    for (struct waiter *x = q->first; x; x = x->next)
        e.events |= x->events;
    long err = sys_call(SYS_epoll_ctl, state.fd, EPOLL_CTL_MOD, fd, &e);
    if (err == -ENOENT)
        err = sys_call(SYS_epoll_ctl, state.fd, EPOLL_CTL_ADD, fd, &e);
    return (int)err;
}

/* Ends the waits that events answer. Returns how many. */
static int deliver(struct proc *to, int fd, uint32_t events)
{
    struct fd_waiters *q = &state.table[fd];
    int n = 0;
    lock_acquire(&q->lock);
    for (struct waiter **link = &q->first; *link;) {
        struct waiter *x = *link;
        uint32_t hit = events & (x->events | EPOLLERR | EPOLLHUP);
        if (!hit) {
            link = &x->next;
            continue;
        }
        *link = x->next;
        x->queued = false;
        x->result = (long)hit;
        atomic_fetch_sub_explicit(&state.waiting, 1, memory_order_relaxed);
        sched_deliver(to, x->fiber); /* x may be gone after this */
        n++;
    }
    if (q->first)
        arm(q, fd);
    lock_release(&q->lock);
    return n;
}

/* Under the ring's lock. */
static int deliver_some(struct ring *r, struct proc *to, int max)
{
    int n = 0, i = load_relaxed(&r->next), count = load_relaxed(&r->count);
    for (; i < count && n < max; i++)
        if (r->events[i].data.fd != WAKE_FD)
            n += deliver(to, r->events[i].data.fd, r->events[i].events);
    store_relaxed(&r->next, i);
    return n;
}

static int epoll_poll(struct worker *w, struct proc *to, int max, bool flush)
{
    struct ring own, *r = w ? w->ring : &own;
    if (!w) {
        lock_init(&own.lock);
        store_relaxed(&own.next, 0);
        store_relaxed(&own.count, 0);
    }
    lock_acquire(&r->lock);
    int n = deliver_some(r, to, max);
    if (n < max && flush && load_relaxed(&r->next) == load_relaxed(&r->count) &&
        load_relaxed(&state.waiting)) {
        store_relaxed(&r->count, take(r->events, 0));
        store_relaxed(&r->next, 0);
        n += deliver_some(r, to, w ? max - n : 1 << 20);
    }
    lock_release(&r->lock);
    return n;
}

static void epoll_sleep(struct worker *w, uint64_t deadline)
{
    struct ring *r = w->ring;
    if (load_relaxed(&r->next) < load_relaxed(&r->count) || load_relaxed(&w->wake))
        return;
    uint64_t wait = TIMER_NEVER;
    if (deadline != TIMER_NEVER) {
        uint64_t now = timer_now();
        wait = deadline > now ? deadline - now : 1;
    }
    struct worker *nobody = NULL;
    if (cas_seq(&state.poller, &nobody, w)) {
        if (!load_seq(
                &w->wake)) { /* partner: epoll_wake, which reads state.poller after setting it */
            int n = take(r->events, wait); /* nothing is between next and count: nobody looks */
            for (int i = 0; i < n; i++)
                if (r->events[i].data.fd == WAKE_FD) {
                    uint64_t drained;
                    sys_call(SYS_read, state.wake_fd, &drained, sizeof drained);
                }
            lock_acquire(&r->lock);
            store_relaxed(&r->next, 0);
            store_relaxed(&r->count, n);
            lock_release(&r->lock);
        }
        store_seq(&state.poller, NULL);
        return;
    }
    struct timespec ts = { (time_t)(wait / NSEC_PER_SEC), (long)(wait % NSEC_PER_SEC) };
    /* When the poller stops polling nobody tells us, so look again now and then; the busy worker
     * that it has become looks in each of its passes meanwhile. */
    if (wait > 20 * NSEC_PER_MSEC)
        ts = (struct timespec){ 0, 20 * NSEC_PER_MSEC };
    sys_call(SYS_futex, &w->wake, FUTEX_WAIT_PRIVATE, 0, &ts);
}

static void epoll_wake(struct worker *w)
{
    fence_seq(); /* partner: the sequence in epoll_sleep */
    if (load_relaxed(&state.poller) == w) {
        uint64_t one = 1;
        sys_call(SYS_write, state.wake_fd, &one, sizeof one);
    }
    sys_call(SYS_futex, &w->wake, FUTEX_WAKE_PRIVATE, 1);
}

static int epoll_waiting(struct worker *w)
{
    struct ring *r = w->ring;
    int n = 0;
    for (int i = load_relaxed(&r->next); i < load_relaxed(&r->count); i++)
        n += r->events[i].data.fd != WAKE_FD;
    if (!n)
        store_relaxed(&r->next, load_relaxed(&r->count));
    return n;
}

/* A worker may have taken events from the kernel and found a fiber to run before it came to deliver
 * them. If that fiber blocks or computes, the monitor delivers them, here: a signal to the worker could
 * end a call of the program's early. */
static bool epoll_stuck(struct worker *w)
{
    struct ring *r = w->ring;
    if (!r || load_relaxed(&r->next) >= load_relaxed(&r->count) || !lock_try(&r->lock))
        return false;
    int n = deliver_some(r, NULL, EVENTS);
    lock_release(&r->lock);
    if (n)
        sched_wake_one();
    return false;
}

static void epoll_rescue(struct worker *w)
{
    (void)w;
}

static bool epoll_busy(struct worker *w)
{
    struct ring *r = w->ring;
    return load_relaxed(&r->next) < load_relaxed(&r->count);
}

static bool unlink_waiter(struct fd_waiters *q, struct waiter *x)
{
    if (!x->queued)
        return false;
    for (struct waiter **link = &q->first; *link; link = &(*link)->next)
        if (*link == x) {
            *link = x->next;
            break;
        }
    x->queued = false;
    atomic_fetch_sub_explicit(&state.waiting, 1, memory_order_relaxed);
    return true;
}

static void expire(struct worker *w, void *arg)
{
    struct waiter *x = arg;
    struct fd_waiters *q = &state.table[x->fd];
    lock_acquire(&q->lock);
    if (unlink_waiter(q, x)) {
        x->result = -ETIME;
        sched_deliver(w ? w->proc : NULL, x->fiber);
    }
    lock_release(&q->lock);
}

/* Post action: the waiter is queued and its registers are saved. */
static void unlock(struct worker *w, void *arg)
{
    struct waiter *x = arg;
    (void)w;
    lock_release(&state.table[x->fd].lock);
}

/* Inside the runtime. hold: -EBADF if its number is no longer fd. */
static long wait_inside(struct fiber *self, const struct io *io, uint64_t deadline,
                        struct hold *hold)
{
    struct fd_waiters *q = &state.table[io->fd];
    struct waiter x = { .fiber = self, .fd = io->fd, .events = io->flags, .queued = true };
    lock_acquire(&q->lock);
    x.next = q->first;
    q->first = &x;
    add_relaxed(&state.waiting, 1);
    int err = arm(q, io->fd);
    if (hold) {
        fence_seq(); /* partner: hold_move, which changes the number before epoll_closing looks */
        if (load_relaxed(&hold->fd) != io->fd)
            err = -EBADF;
    }
    if (err) {
        unlink_waiter(q, &x);
        lock_release(&q->lock);
        /* Regular files are always ready and cannot be registered. */
        return err == -EPERM ? (long)(io->flags & (POLLIN | POLLOUT)) : err;
    }
    bool early = fiber_park_interruptible(self, io->reason, &x, unlock, &x, deadline, expire);
    return x.result == -ETIME && early ? -EINTR : x.result;
}

static long epoll_io(struct fiber *self, struct io *io, uint64_t deadline)
{
    if (io->kind != IO_POLL || (unsigned)io->fd >= FD_TABLE_SIZE)
        return -EOPNOTSUPP;
    if (unlikely(load_relaxed(&self->flags) & FIBER_DIRECT))
        return io_direct(io, deadline);
    runtime_enter(self);
    long r = wait_inside(self, io, deadline, NULL);
    runtime_leave(self);
    return r;
}

static long wait_held(struct fiber *self, struct hold *h, uint32_t events, uint64_t deadline)
{
    int fd = load_relaxed(&h->fd);
    struct io io = { .kind = IO_POLL, .reason = PARK_READ, .fd = fd, .flags = events };
    return (unsigned)fd < FD_TABLE_SIZE ? wait_inside(self, &io, deadline, h) : -EBADF;
}

static long epoll_collect(struct fiber *self, struct collect *c, uint64_t deadline)
{
    return collect(self, c, deadline, wait_held);
}

static void epoll_closing(struct fiber *self, int fd)
{
    struct fd_waiters *q = (unsigned)fd < FD_TABLE_SIZE ? &state.table[fd] : NULL;
    if (!q || !q->first)
        return;
    struct worker *w = runtime_enter(self);
    lock_acquire(&q->lock);
    while (q->first) {
        struct waiter *x = q->first;
        unlink_waiter(q, x);
        x->result = -EBADF;
        sched_deliver(w ? w->proc : NULL, x->fiber);
    }
    lock_release(&q->lock);
    runtime_leave(self);
}

/* The child shares the epoll file with its parent: it needs its own. */
static void epoll_after_fork(void)
{
    if (state.fd >= 0) {
        sys_call(SYS_close, state.fd);
        sys_call(SYS_close, state.wake_fd);
    }
    if (state.table)
        madvise(state.table, FD_TABLE_SIZE * sizeof *state.table, MADV_DONTNEED);
    hold_after_fork();
    state.fd = state.wake_fd = -1;
    store_relaxed(&state.waiting, 0);
    store_relaxed(&state.poller, NULL);
}

const struct poller_backend poller_epoll = {
    .sched = {
        .name = "epoll",
        .open = epoll_open,
        .poll = epoll_poll,
        .sleep = epoll_sleep,
        .wake = epoll_wake,
        .waiting = epoll_waiting,
        .stuck = epoll_stuck,
        .rescue = epoll_rescue,
        .busy = epoll_busy,
        .shared = true,
        .after_fork = epoll_after_fork,
    },
    .io = epoll_io,
    .closing = epoll_closing,
    .collect = epoll_collect,
};
