/* Sleeping and yielding: a timer on the proc, no system call of the fiber's own.
 *
 * Called on the program's stacks. A clock other than REALTIME and MONOTONIC (process CPU time, TAI)
 * is libc's: the worker blocks and its proc is passed on. */
#include "shim/calls.h"

#include "sync/waitq.h"

/* A wait on an address that nobody wakes. */
bool fiber_sleep(struct fiber *self, uint64_t deadline)
{
    struct waiter x = { .bits = WAITQ_ANY };
    struct bucket *b = waitq_enter(self, &x);
    return waitq_park(self, b, &x, &x, false, deadline, PARK_SLEEP) == -EINTR;
}

static uint64_t after(uint64_t sec, uint64_t nsec)
{
    return sec >= UINT64_MAX / NSEC_PER_SEC / 4 ? TIMER_NEVER - 1
                                                : timer_now() + sec * NSEC_PER_SEC + nsec;
}

/* True: a signal handler ended it. */
static bool sleep_until(struct fiber *self, uint64_t deadline)
{
    return RESTART(self, false, fiber_sleep(self, deadline) ? -EINTR : 0) != 0;
}

EXPORT int sched_yield(void)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(sched_yield)();
    fiber_yield(self);
    return 0;
}

EXPORT void thrd_yield(void)
{
    sched_yield();
}

EXPORT unsigned sleep(unsigned seconds)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sleep)(seconds);
    uint64_t end = after(seconds, 0);
    if (!sleep_until(self, end))
        return 0;
    uint64_t now = timer_now(); /* rounded as libc does */
    return now < end ? (unsigned)((end - now + NSEC_PER_SEC / 2) / NSEC_PER_SEC) : 0;
}

EXPORT int usleep(useconds_t usec)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(usleep)(usec);
    uint64_t end = after(usec / 1000000, (uint64_t)usec % 1000000 * 1000);
    return (int)set_errno(sleep_until(self, end) ? -EINTR : 0);
}

/* clock_nanosleep's convention: a positive error code. */
static int clock_sleep(struct fiber *self, clockid_t clock, int flags, const struct timespec *time,
                       struct timespec *left)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
        return cpu_clock_sleep(clock, flags, time, left);
    if (user_check(self, time, sizeof *time))
        return EFAULT;
    if (time->tv_nsec < 0 || time->tv_nsec >= (long)NSEC_PER_SEC)
        return EINVAL;
    uint64_t deadline;
    if (flags & TIMER_ABSTIME) {
        if (!deadline_from(clock, time, &deadline))
            return EINVAL;
    } else {
        if (time->tv_sec < 0)
            return EINVAL;
        deadline = after((uint64_t)time->tv_sec, (uint64_t)time->tv_nsec);
    }
    if (deadline <= timer_now() || !sleep_until(self, deadline))
        return 0;
    if (left && !(flags & TIMER_ABSTIME)) {
        if (user_check(self, left, sizeof *left))
            return EFAULT;
        uint64_t now = timer_now(), rest = now < deadline ? deadline - now : 0;
        *left = (struct timespec){ (time_t)(rest / NSEC_PER_SEC), (long)(rest % NSEC_PER_SEC) };
    }
    return EINTR;
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                           struct timespec *left)
{
    struct fiber *self = fiber_at_cancel_point();
    return self ? clock_sleep(self, clock, flags, time, left)
                : cpu_clock_sleep(clock, flags, time, left);
}

EXPORT int nanosleep(const struct timespec *time, struct timespec *left)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(nanosleep)(time, left);
    return (int)set_errno(-clock_sleep(self, CLOCK_MONOTONIC, 0, time, left));
}

EXPORT int thrd_sleep(const struct timespec *time, struct timespec *left)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(thrd_sleep)(time, left);
    int err = clock_sleep(self, CLOCK_MONOTONIC, 0, time, left);
    return err == EINTR ? -1 : err ? -2 : 0;
}
