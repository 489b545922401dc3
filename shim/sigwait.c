/* sigwait, sigwaitinfo, sigtimedwait: the fiber's own signals and the kernel's pending ones.
 *
 * Parked if the thread blocks the whole set, else on a kernel thread, see wait_parked. Called on the program's
 * stacks, outside the runtime; results inside are the kernel's kind. */
#include "shim/calls.h"

#include <poll.h>
#include <string.h>
#include "arch/syscall.h"
#include "poller/poller.h"
#include "signal/await.h"

#define FUTILE 1000u /* wake-ups in a second */
/* What sigtimedwait waits for in vain, and libc's own. */
#define UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(32) | SIGNAL_BIT(33))

/* Between handoff_block_enter and its end, after an interruption: a fiber that is to have a kernel thread
 * of its own goes there. True: it has, and the call is libc's. */
static bool goes_to_carrier(struct fiber *self)
{
    if (likely(!(load_relaxed(&self->attention) & ATTENTION_MOVE)))
        return false;
    uint64_t set = self->sigwait;
    signal_wait_over(self);
    handoff_block_leave(self);
    runtime_enter(self);
    runtime_leave(self);
    if (load_relaxed(&self->flags) & FIBER_DIRECT)
        return true;
    handoff_block_enter(self);
    self->sigwait = set;
    return false;
}

/* What is left until end; NULL: for ever. */
static const struct timespec *rest_of(uint64_t end, struct timespec *left)
{
    uint64_t now = timer_now(), rest = now < end ? end - now : 0;
    *left = (struct timespec){ (time_t)(rest / NSEC_PER_SEC), (long)(rest % NSEC_PER_SEC) };
    return end == TIMER_NEVER ? NULL : left;
}

/* sigtimedwait, parked. Only if the thread blocks the whole set: else the kernel would take those signals for wanted
 * by whoever stands in for it (everyone.c), while a thread that waits in the kernel is spared their handlers and
 * default actions. -EOPNOTSUPP: it takes a kernel thread. */
static long wait_parked(struct fiber *self, uint64_t bits, siginfo_t *info, uint64_t end)
{
    struct timespec none = { 0, 0 };
    bool over = false, interrupted = false;
    uint64_t begin = timer_now();
    unsigned futile = 0;
    int fd = -1;
    for (;;) {
        if (signal_take(self, bits, info))
            return info->si_signo;
        long r = sys_call(SYS_rt_sigtimedwait, &bits, info, &none, 8);
        if (r > 0 ? !signal_is_kick(info) : r != -EAGAIN)
            return r;
        if (r > 0)
            continue;
        if (interrupted)
            return -EINTR;
        if (load_relaxed(&self->flags) & FIBER_DIRECT)
            return -EOPNOTSUPP; /* it has got a kernel thread of its own */
        if (over || (end != TIMER_NEVER && timer_now() >= end))
            return -EAGAIN;
        /* Somebody else was faster. Or it is pending for one kernel thread alone, which the next poll may ask again: that
         * must not spin. */
        if (++futile % FUTILE == 0) {
            uint64_t now = timer_now();
            if (now - begin < NSEC_PER_SEC)
                return -EOPNOTSUPP;
            begin = now;
        }
        if (fd < 0 && (fd = signal_await_fd(self, bits)) < 0)
            return -EOPNOTSUPP;
        /* The last look, and no system call after it: at the end of one, or where we leave the runtime, the attention
         * of what came meanwhile may be taken as seen, for it is blocked. From here on it ends the park. */
        if (load_relaxed(&self->pending) & bits)
            continue;
        r = poller_wait(self, fd, POLLIN, end, PARK_SIGNAL);
        over = r == -ETIME;
        if (r == -EBADF)
            fd = -1;
        /* What came wins over a handler that ran. */
        interrupted = r == -EINTR && (self->handled || cancel_pending(self));
        if (r == -EINTR && !interrupted)
            cancel_point(self); /* disabled: not to be told again */
        else if (r < 0 && r != -EINTR && r != -ETIME && r != -EBADF)
            return -EOPNOTSUPP;
    }
}

/* rt_sigtimedwait(2): the kernel's pending signals and the fiber's own. */
static long wait_for(struct fiber *self, const sigset_t *set, siginfo_t *info,
                     const struct timespec *timeout)
{
    if (user_check(self, set, 8) || (timeout && user_check(self, timeout, sizeof *timeout)))
        return -EFAULT;
    uint64_t bits, end = TIMER_NEVER;
    struct timespec left;
    long r;
    memcpy(&bits, set, sizeof bits);
    if (timeout) {
        if (timeout->tv_nsec < 0 || timeout->tv_nsec >= (long)NSEC_PER_SEC || timeout->tv_sec < 0)
            return -EINVAL;
        if (timeout->tv_sec < INT32_MAX)
            end = timer_now() + (uint64_t)timeout->tv_sec * NSEC_PER_SEC +
                  (uint64_t)timeout->tv_nsec;
    }
    if (!(bits & ~(signal_mask(self) | UNBLOCKABLE))) {
        r = wait_parked(self, bits & ~UNBLOCKABLE, info, end);
        if (r == -EINTR)
            cancel_point(self);
        if (r != -EOPNOTSUPP)
            return r;
        if (load_relaxed(&self->flags) & FIBER_DIRECT) {
            r = REAL(sigtimedwait)(set, info, rest_of(end, &left));
            return r < 0 ? -errno : r;
        }
    }
    handoff_block_enter(self);
    self->handled = 0;
    self->sigwait = bits;
    for (;;) {
        fence_compiler(); /* partner: the barrier of a sender, who kicks when it sees sigwait */
        if (signal_take(self, bits, info)) {
            r = info->si_signo;
            break;
        }
        r = fiber_call(self, SYS_rt_sigtimedwait, &bits, info, rest_of(end, &left), 8);
        if (r > 0 ? !signal_is_kick(info) : r != -EINTR || self->handled || cancel_pending(self))
            break;
        if (r < 0)
            cancel_point(self); /* disabled: not to be told again */
        if (goes_to_carrier(self)) {
            r = REAL(sigtimedwait)(set, info, end == TIMER_NEVER ? NULL : &left);
            return r < 0 ? -errno : r;
        }
    }
    signal_wait_over(self);
    handoff_block_leave(self);
    if (r == -EINTR)
        cancel_point(self);
    return r;
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sigtimedwait)(set, info, timeout);
    siginfo_t own;
    return (int)set_errno(wait_for(self, set, info ? info : &own, timeout));
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    return sigtimedwait(set, info, NULL);
}

EXPORT int sigwait(const sigset_t *set, int *sig)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sigwait)(set, sig);
    siginfo_t info;
    long r;
    while ((r = wait_for(self, set, &info, NULL)) == -EINTR)
        ;
    if (r < 0)
        return (int)-r;
    *sig = (int)r;
    return 0;
}

/* No cancellation point, unlike libc's functions. */
long signal_wait_call(struct fiber *self, const void *set, siginfo_t *info,
                      const struct timespec *timeout)
{
    siginfo_t own;
    bool outer = cancel_inner_begin(self);
    long r = wait_for(self, set, info ? info : &own, timeout);
    cancel_inner_end(self, outer);
    return r;
}
