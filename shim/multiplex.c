/* poll, select and epoll_wait: try with no timeout, then wait for readiness and look again.
 *
 * One descriptor is waited for directly; several through a temporary epoll descriptor, on which the
 * fiber waits like on any other. When that cannot be had (no descriptor left), or a signal mask is
 * given, the kernel's own call runs and the proc is passed on. The answer always comes from the
 * kernel's poll of the program's own arrays. Called on the program's stacks. */
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
    if (n == 1 && ns != 0 && fds[0].fd >= 0 && waits_alone(&fds[0]))
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

/* The kernel's call with a signal mask for its time. If there is a deadline, *left or, without that,
 * args[4] in ms is what is left. Interruptions that run no handler are none of the program's business. */
static long call_masked(struct fiber *self, const sigset_t *mask, long *args, uint64_t deadline,
                        struct timespec *left)
{
    uint64_t before;
    uint8_t handled;
    long r;
    handoff_block_enter(self);
    for (;;) {
        r = mask_begin(self, mask, &before) ? -EINTR : fiber_call_array(self, args);
        handled = self->handled;
        mask_end(self, before);
        if (r != -EINTR || handled || cancel_pending(self))
            break;
        cancel_point(self); /* disabled: not to be told again */
        if (left) {
            time_left(deadline, left);
        } else if (deadline != TIMER_NEVER) {
            uint64_t now = timer_now();
            args[4] = now < deadline ? (long)((deadline - now) / NSEC_PER_MSEC) : 0;
        }
    }
    handoff_block_leave(self);
    if (r == -EINTR)
        cancel_point(self);
    return r;
}

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
    if (mask) {
        struct timespec left; /* the kernel counts it down */
        if (timeout)
            left = *timeout;
        long r = call_masked(
            self, mask,
            (long[7]){ SYS_ppoll, (long)fds, (long)n, timeout ? (long)&left : 0, (long)mask, 8 },
            TIMER_NEVER, NULL);
        return (int)set_errno(r);
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

static void free_at(void *pointer)
{
    free(*(void **)pointer);
}

static long select_until(struct fiber *self, int n, fd_set *r, fd_set *w, fd_set *e, int64_t ns)
{
    struct sets s = { .words = ((size_t)n + WORD_BITS - 1) / WORD_BITS, .user = { r, w, e } };
    unsigned long inline_words[INLINE_WORDS];
    struct pollfd inline_fds[INLINE_FDS], *fds = inline_fds;
    /* Freed when cancellation unwinds, too. */
    void *heap __attribute__((cleanup(free_at))) = NULL;
    void *heap_fds __attribute__((cleanup(free_at))) = NULL;
    s.saved = inline_words;
    size_t bytes = 3 * s.words * sizeof(long);
    if (bytes > sizeof inline_words) {
        if (!(heap = malloc(bytes)))
            return -ENOMEM;
        s.saved = heap;
    }
    for (size_t i = 0; i < 3; i++)
        if (s.user[i])
            memcpy(s.saved + i * s.words, s.user[i], s.words * sizeof(long));
    long result = select_now(self, n, &s);
    if (result || ns == 0)
        return result;
    int count = list_fds(&s, n, NULL);
    if (count > INLINE_FDS && !(fds = heap_fds = malloc((size_t)count * sizeof *fds)))
        return -ENOMEM;
    list_fds(&s, n, fds);
    uint64_t deadline = deadline_in(ns);
    for (;;) {
        long waited = wait_for_any(self, fds, (nfds_t)count, deadline);
        if (waited == -EOPNOTSUPP) {
            struct timespec ts, *timeout = time_left(deadline, &ts);
            restore(&s);
            result = BLOCKED(self,
                             CALL_RESTART(self, false, SYS_pselect6, n, r, w, e, timeout, NULL));
            break;
        }
        restore(&s);
        result = select_now(self, n, &s);
        if (result || waited == -ETIME)
            break;
        if (waited == -EINTR && !wait_goes_on(self, false)) {
            restore(&s);
            result = waited;
            break;
        }
    }
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
    long result = select_until(self, n, r, w, e, timespec_ns(timeout ? &ts : NULL));
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
    if (mask) {
        struct timespec left;
        if (timeout)
            left = *timeout;
        long sized_mask[2] = { (long)mask, 8 };
        long result = call_masked(self, mask,
                                  (long[7]){ SYS_pselect6, n, (long)r, (long)w, (long)e,
                                             timeout ? (long)&left : 0, (long)sized_mask },
                                  TIMER_NEVER, NULL);
        return (int)set_errno(result);
    }
    return (int)set_errno(select_until(self, n, r, w, e, timespec_ns(timeout)));
}

/* ---- epoll ---- */

static int epoll_until(struct fiber *self, int epfd, struct epoll_event *events, int max,
                       int64_t ns)
{
    long r = sys_call(SYS_epoll_wait, epfd, events, max, 0);
    if (r || ns == 0)
        return (int)set_errno(r);
    uint64_t deadline = deadline_in(ns);
    for (;;) {
        long ready = poller_wait(self, epfd, POLLIN, deadline, PARK_POLL);
        r = sys_call(SYS_epoll_wait, epfd, events, max, 0);
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
    return epoll_until(self, epfd, events, max, ns);
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout,
                       const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(epoll_pwait)(epfd, events, max, timeout, mask);
    if (!mask)
        return epoll_wait(epfd, events, max, timeout);
    long args[7] = { SYS_epoll_pwait, epfd, (long)events, max, timeout, (long)mask, 8 };
    uint64_t deadline = deadline_in(timeout < 0 ? -1 : timeout * (int64_t)NSEC_PER_MSEC);
    return (int)set_errno(call_masked(self, mask, args, deadline, NULL));
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max,
                        const struct timespec *timeout, const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(epoll_pwait2)(epfd, events, max, timeout, mask);
    if (!valid(timeout))
        return (int)set_errno(-EINVAL);
    if (!mask)
        return epoll_until(self, epfd, events, max, timespec_ns(timeout));
    struct timespec left;
    uint64_t deadline = deadline_in(timespec_ns(timeout));
    struct timespec *rest = time_left(deadline, &left);
    long args[7] = { SYS_epoll_pwait2, epfd, (long)events, max, (long)rest, (long)mask, 8 };
    return (int)set_errno(call_masked(self, mask, args, deadline, rest));
}
