/* poll, select and epoll_wait: try with no timeout, then wait for readiness and look again.
 *
 * One descriptor is waited for directly; several through a temporary epoll descriptor, on which the
 * fiber waits like on any other. When that cannot be had (no descriptor left), the kernel's own call runs
 * and the proc is passed on. The answer always comes from the kernel's poll of the program's own arrays.
 * With a signal mask: masked.c. Called on the program's stacks. */
#include "shim/calls.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "arch/syscall.h"
#include "shim/fdio.h"

/* ns from now; negative: never */
static uint64_t deadline_in(int64_t ns)
{
    return ns < 0 ? TIMER_NEVER : timer_now() + (uint64_t)ns;
}

static int64_t timespec_ns(const struct timespec *ts)
{
    if (!ts)
        return -1;
    return ts->tv_sec >= INT64_MAX / (int64_t)NSEC_PER_SEC / 4
               ? INT64_MAX / 4
               : ts->tv_sec * (int64_t)NSEC_PER_SEC + ts->tv_nsec;
}

/* What is left until deadline, for a system call's timeout; NULL: for ever. */
static struct timespec *time_left(uint64_t deadline, struct timespec *ts)
{
    if (deadline == TIMER_NEVER)
        return NULL;
    uint64_t now = timer_now(), left = deadline > now ? deadline - now : 0;
    *ts = (struct timespec){ (time_t)(left / NSEC_PER_SEC), (long)(left % NSEC_PER_SEC) };
    return ts;
}

static bool valid(const struct timespec *timeout)
{
    return !timeout ||
           (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < (long)NSEC_PER_SEC);
}

/* Can the ring wait for it? It does not see a wake-up that names POLLPRI alone: io_uring's poll takes that
 * for an event that always comes with others. With a socket it does, for urgent data is announced as
 * data and an error queue as an error; not so with a pseudoterminal in packet mode, for example.
 * Servers that ask for POLLIN | POLLPRI with every request must not pay for a descriptor each time. */
static bool waits_alone(const struct pollfd *p)
{
    return !(p->events & POLLPRI) ||
           (p->events & (POLLIN | POLLRDNORM) && fd_classify(p->fd) == FD_SOCKET);
}

/* Waits until one of fds may be ready. 0, -ETIME at the deadline, -EOPNOTSUPP: cannot. */
static long wait_for_any(struct fiber *self, const struct pollfd *fds, nfds_t n, uint64_t deadline)
{
    const struct pollfd *only = NULL;
    nfds_t count = 0;
    for (nfds_t i = 0; i < n; i++)
        if (fds[i].fd >= 0) {
            only = &fds[i];
            count++;
        }
    if (count == 0) {
        return fiber_sleep(self, deadline) ? -EINTR : -ETIME;
    }
    if (count == 1 && waits_alone(only)) {
        long r = poller_wait(self, only->fd, (uint32_t)(uint16_t)only->events, deadline, PARK_POLL);
        return r == -ETIME || r == -EINTR ? r : 0;
    }
    int epfd = (int)sys_call(SYS_epoll_create1, EPOLL_CLOEXEC);
    if (epfd < 0)
        return -EOPNOTSUPP;
    fd_forget(epfd);
    long r = 0;
    for (nfds_t i = 0; i < n && !r; i++) {
        if (fds[i].fd < 0)
            continue;
        struct epoll_event e = { .events = (uint16_t)fds[i].events };
        r = sys_call(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, fds[i].fd, &e);
    }
    if (!r)
        r = poller_wait(self, epfd, POLLIN, deadline, PARK_POLL);
    else
        r = -EOPNOTSUPP; /* the same descriptor twice, or one that epoll does not take */
    poller->closing(self, epfd);
    sys_call(SYS_close, epfd);
    return r > 0 ? 0 : r;
}

/* Even without waiting these calls end with EINTR when a signal is pending; one of the runtime's own is
 * not the program's business. */
#define LOOK(self, call)                                                                           \
    ({                                                                                             \
        uint8_t before_ = (self)->handled;                                                         \
        long seen_;                                                                                \
        do {                                                                                       \
            (self)->handled = 0;                                                                   \
            seen_ = (call);                                                                        \
        } while (unlikely(seen_ == -EINTR) && !(self)->handled);                                   \
        (self)->handled |= before_;                                                                \
        seen_;                                                                                     \
    })

static long poll_now(struct fiber *self, struct pollfd *fds, nfds_t n)
{
    return LOOK(self, sys_call(SYS_poll, fds, n, 0));
}

/* One descriptor: without the first look when the last read left nothing behind. What the wait answers
 * is only a reason to look: the kernel's wake-ups name more events than there are (data on a TCP
 * socket also says POLLPRI). */
static long poll_one(struct fiber *self, struct pollfd *p, int64_t ns)
{
    struct fd_info *info = fd_info(p->fd);
    uint64_t deadline = deadline_in(ns);
    uint32_t wanted = (uint16_t)p->events;
    bool look = !info || load_relaxed(&info->kind) != FD_SOCKET ||
                load_relaxed(&info->hints) & FD_LIKELY;
    for (;;) {
        long waited = 0;
        if (!look)
            waited = RESTART(self, false, poller_wait(self, p->fd, wanted, deadline, PARK_POLL));
        look = false;
        if (waited == -EINTR)
            return waited;
        long r = poll_now(self, p, 1);
        if (info && r > 0 && p->revents & POLLIN) /* the read need not go through the ring */
            atomic_fetch_or_explicit(&info->hints, FD_LIKELY, memory_order_relaxed);
        if (r || waited == -ETIME)
            return r;
        if (info)
            atomic_fetch_and_explicit(&info->hints, (uint8_t)~FD_LIKELY, memory_order_relaxed);
    }
}

/* Results of the kernel's kind. */
static long poll_until(struct fiber *self, struct pollfd *fds, nfds_t n, int64_t ns)
{
    if (n == 1 && ns != 0 && !user_check(self, fds, sizeof *fds) && fds[0].fd >= 0 &&
        waits_alone(&fds[0]))
        return poll_one(self, fds, ns);
    long r = poll_now(self, fds, n);
    if (r || ns == 0)
        return r;
    uint64_t deadline = deadline_in(ns);
    for (;;) {
        long w = wait_for_any(self, fds, n, deadline);
        if (w == -EOPNOTSUPP) {
            struct timespec ts, *timeout = time_left(deadline, &ts); /* the kernel counts it down */
            return BLOCKED(self, CALL_RESTART(self, false, SYS_ppoll, fds, n, timeout, NULL, 8));
        }
        r = poll_now(self, fds, n);
        if (r || w == -ETIME)
            return r;
        if (w == -EINTR && !wait_goes_on(self, false))
            return w;
    }
}

/* A mask that a call is given; false: it is the one that the fiber has. */
static bool other_mask(struct fiber *self, const sigset_t *set, uint64_t *mask)
{
    memcpy(mask, set, sizeof *mask);
    return *mask != signal_mask(self);
}

struct poll_set {
    struct pollfd *fds;
    nfds_t n;
};

static long poll_look(struct fiber *self, void *arg)
{
    struct poll_set *p = arg;
    return poll_now(self, p->fds, p->n);
}

static long poll_wait(struct fiber *self, void *arg, uint64_t deadline)
{
    struct poll_set *p = arg;
    return wait_for_any(self, p->fds, p->n, deadline);
}

static long poll_kernel(struct fiber *self, void *arg, const struct timespec *timeout,
                        const uint64_t *mask)
{
    struct poll_set *p = arg;
    return fiber_call(self, SYS_ppoll, p->fds, p->n, timeout, mask, 8);
}

static const struct masked_call poll_call = { poll_look, poll_wait, poll_kernel, false };

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(poll)(fds, n, timeout);
    int64_t ns = timeout < 0 ? -1 : timeout * (int64_t)NSEC_PER_MSEC;
    return (int)set_errno(poll_until(self, fds, n, ns));
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
    return n > size / sizeof *fds ? REAL(__poll_chk)(fds, n, timeout, size) : poll(fds, n, timeout);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(ppoll)(fds, n, timeout, mask);
    if (!valid(timeout))
        return (int)set_errno(-EINVAL);
    uint64_t other;
    if (mask && user_check(self, mask, sizeof other))
        return (int)set_errno(-EFAULT);
    if (mask && other_mask(self, mask, &other)) {
        struct poll_set p = { fds, n };
        return (int)set_errno(masked_wait(self, &poll_call, &p, other, timespec_ns(timeout)));
    }
    return (int)set_errno(poll_until(self, fds, n, timespec_ns(timeout)));
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                       const sigset_t *mask, size_t size)
{
    return n > size / sizeof *fds ? REAL(__ppoll_chk)(fds, n, timeout, mask, size)
                                  : ppoll(fds, n, timeout, mask);
}

/* ---- select ---- */

#define SELECT_READ  (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_WRITE (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define WORD_BITS    (8 * sizeof(unsigned long))
#define INLINE_WORDS 48 /* three sets of 1024 descriptors */
#define INLINE_FDS   64

struct sets {
    size_t words; /* of each set */
    fd_set *user[3];
    unsigned long *saved; /* copies of what the program asked for */
};

static bool in_set(const struct sets *s, int which, int fd)
{
    if (!s->user[which])
        return false;
    return s->saved[(size_t)which * s->words + (size_t)fd / WORD_BITS] >> ((size_t)fd % WORD_BITS) &
           1;
}

static void restore(const struct sets *s)
{
    for (size_t i = 0; i < 3; i++)
        if (s->user[i])
            memcpy(s->user[i], s->saved + i * s->words, s->words * sizeof(long));
}

static int list_fds(const struct sets *s, int n, struct pollfd *fds)
{
    int count = 0;
    for (int fd = 0; fd < n; fd++) {
        int events = (in_set(s, 0, fd) ? SELECT_READ : 0) | (in_set(s, 1, fd) ? SELECT_WRITE : 0) |
                     (in_set(s, 2, fd) ? POLLPRI : 0);
        if (!events)
            continue;
        if (fds)
            fds[count] = (struct pollfd){ .fd = fd, .events = (short)events };
        count++;
    }
    return count;
}

static long select_now(struct fiber *self, int n, const struct sets *s)
{
    struct timespec zero;
    return LOOK(self, (zero = (struct timespec){ 0, 0 },
                       sys_call(SYS_pselect6, n, s->user[0], s->user[1], s->user[2], &zero, NULL)));
}

struct select_set {
    int n, count;
    struct sets sets;
    struct pollfd *fds;
};

static long select_look(struct fiber *self, void *arg)
{
    struct select_set *p = arg;
    restore(&p->sets);
    return select_now(self, p->n, &p->sets);
}

static long select_wait(struct fiber *self, void *arg, uint64_t deadline)
{
    struct select_set *p = arg;
    return wait_for_any(self, p->fds, (nfds_t)p->count, deadline);
}

static long select_kernel(struct fiber *self, void *arg, const struct timespec *timeout,
                          const uint64_t *mask)
{
    struct select_set *p = arg;
    const long sized[2] = { (long)mask, 8 };
    restore(&p->sets);
    return fiber_call(self, SYS_pselect6, p->n, p->sets.user[0], p->sets.user[1], p->sets.user[2],
                      timeout, mask ? sized : NULL);
}

static const struct masked_call select_call = { select_look, select_wait, select_kernel, false };

static void free_at(void *pointer)
{
    free(*(void **)pointer);
}

static long select_until(struct fiber *self, int n, fd_set *r, fd_set *w, fd_set *e, int64_t ns,
                         const uint64_t *mask)
{
    size_t words = ((size_t)n + WORD_BITS - 1) / WORD_BITS, bytes = 3 * words * sizeof(long);
    struct select_set p = { .n = n, .sets = { .words = words, .user = { r, w, e } } };
    unsigned long inline_words[INLINE_WORDS];
    struct pollfd inline_fds[INLINE_FDS];
    /* Freed when cancellation unwinds, too. */
    void *heap __attribute__((cleanup(free_at))) = NULL;
    void *heap_fds __attribute__((cleanup(free_at))) = NULL;
    p.fds = inline_fds;
    p.sets.saved = inline_words;
    if (bytes > sizeof inline_words && !(p.sets.saved = heap = malloc(bytes)))
        return -ENOMEM;
    for (size_t i = 0; i < 3; i++)
        if (p.sets.user[i] && user_check(self, p.sets.user[i], words * sizeof(long)))
            return -EFAULT;
    for (size_t i = 0; i < 3; i++)
        if (p.sets.user[i])
            memcpy(p.sets.saved + i * words, p.sets.user[i], words * sizeof(long));
    long result = mask ? 0 : select_now(self, n, &p.sets);
    if (result || (ns == 0 && !mask))
        return result;
    p.count = list_fds(&p.sets, n, NULL);
    if (p.count > INLINE_FDS && !(p.fds = heap_fds = malloc((size_t)p.count * sizeof *p.fds)))
        return -ENOMEM;
    list_fds(&p.sets, n, p.fds);
    if (mask) {
        result = masked_wait(self, &select_call, &p, *mask, ns);
    } else {
        uint64_t deadline = deadline_in(ns);
        for (;;) {
            long waited = select_wait(self, &p, deadline);
            if (waited == -EOPNOTSUPP) {
                struct timespec ts, *timeout = time_left(deadline, &ts);
                result = BLOCKED(self,
                                 RESTART(self, false, select_kernel(self, &p, timeout, NULL)));
                break;
            }
            result = select_look(self, &p);
            if (result || waited == -ETIME)
                break;
            if (waited == -EINTR && !wait_goes_on(self, false)) {
                result = waited;
                break;
            }
        }
    }
    if (result < 0)
        restore(&p.sets);
    return result;
}

EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || n < 0)
        return REAL(select)(n, r, w, e, timeout);
    if (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0))
        return (int)set_errno(-EINVAL);
    struct timespec ts;
    if (timeout)
        ts = (struct timespec){ timeout->tv_sec + timeout->tv_usec / 1000000,
                                timeout->tv_usec % 1000000 * 1000 };
    uint64_t start = timeout ? timer_now() : 0;
    long result = select_until(self, n, r, w, e, timespec_ns(timeout ? &ts : NULL), NULL);
    if (timeout) { /* Linux tells what is left */
        int64_t left = timespec_ns(&ts) - (int64_t)(timer_now() - start);
        if (left < 0 || result == 0)
            left = 0;
        timeout->tv_sec = left / (int64_t)NSEC_PER_SEC;
        timeout->tv_usec = left % (int64_t)NSEC_PER_SEC / 1000;
    }
    return (int)set_errno(result);
}

EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
                   const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || n < 0)
        return REAL(pselect)(n, r, w, e, timeout, mask);
    if (!valid(timeout))
        return (int)set_errno(-EINVAL);
    uint64_t other;
    if (mask && user_check(self, mask, sizeof other))
        return (int)set_errno(-EFAULT);
    bool masked = mask && other_mask(self, mask, &other);
    return (int)set_errno(
        select_until(self, n, r, w, e, timespec_ns(timeout), masked ? &other : NULL));
}

/* ---- epoll ---- */

struct epoll_set {
    int epfd, max;
    struct epoll_event *events;
};

static long epoll_look(struct fiber *self, void *arg)
{
    struct epoll_set *p = arg;
    (void)self;
    return sys_call(SYS_epoll_wait, p->epfd, p->events, p->max, 0);
}

static long epoll_wait_ready(struct fiber *self, void *arg, uint64_t deadline)
{
    struct epoll_set *p = arg;
    return poller_wait(self, p->epfd, POLLIN, deadline, PARK_POLL);
}

static long epoll_kernel(struct fiber *self, void *arg, const struct timespec *timeout,
                         const uint64_t *mask)
{
    struct epoll_set *p = arg;
    return fiber_call(self, SYS_epoll_pwait2, p->epfd, p->events, p->max, timeout, mask, 8);
}

static const struct masked_call epoll_call = { epoll_look, epoll_wait_ready, epoll_kernel, true };

static int epoll_until(struct fiber *self, int epfd, struct epoll_event *events, int max,
                       int64_t ns, const sigset_t *mask)
{
    struct epoll_set p = { epfd, max, events };
    uint64_t other;
    if (mask && user_check(self, mask, sizeof other))
        return (int)set_errno(-EFAULT);
    if (mask && other_mask(self, mask, &other))
        return (int)set_errno(masked_wait(self, &epoll_call, &p, other, ns));
    long r = epoll_look(self, &p);
    if (r || ns == 0)
        return (int)set_errno(r);
    uint64_t deadline = deadline_in(ns);
    for (;;) {
        long ready = epoll_wait_ready(self, &p, deadline);
        r = epoll_look(self, &p);
        if (!r && ready == -EINTR && wait_goes_on(self, false))
            continue;
        if (r || ready < 0)
            return (int)set_errno(r == 0 && ready != -ETIME ? ready : r);
    }
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(epoll_wait)(epfd, events, max, timeout);
    int64_t ns = timeout < 0 ? -1 : timeout * (int64_t)NSEC_PER_MSEC;
    return epoll_until(self, epfd, events, max, ns, NULL);
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout,
                       const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(epoll_pwait)(epfd, events, max, timeout, mask);
    int64_t ns = timeout < 0 ? -1 : timeout * (int64_t)NSEC_PER_MSEC;
    return epoll_until(self, epfd, events, max, ns, mask);
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max,
                        const struct timespec *timeout, const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(epoll_pwait2)(epfd, events, max, timeout, mask);
    if (timeout && user_check(self, timeout, sizeof *timeout))
        return (int)set_errno(-EFAULT);
    if (!valid(timeout))
        return (int)set_errno(-EINVAL);
    return epoll_until(self, epfd, events, max, timespec_ns(timeout), mask);
}
