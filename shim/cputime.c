/* Clocks, and the CPU time of threads (lib/sched/account.c counts it).
 *
 * pthread_getcpuclockid gives a fiber's clock the number that the kernel would give the clock of a
 * thread with its tid; tids of fibers are no kernel thread's, so a clock number tells whose it is. Who
 * wants the kernel to act on such a clock (a timer, a sleep) has the fiber bound. Called on the
 * program's stacks; clock_gettime of other clocks is the vDSO's and must stay as cheap. */
#include "shim/calls.h"

#include <string.h>
#include <sys/resource.h>
#include "arch/clock.h"
#include "arch/syscall.h"

#define PER_THREAD_CPU 6 /* CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED */

static clockid_t clock_of(uint32_t tid)
{
    return (clockid_t)(~tid << 3 | PER_THREAD_CPU);
}

/* The fiber whose CPU time the clock is, if it is ours to count. */
static struct fiber *fiber_of_cpu_clock(clockid_t clock)
{
    struct fiber *f = NULL;
    if (clock == CLOCK_THREAD_CPUTIME_ID)
        f = fiber_of_pid(0);
    else if ((unsigned)clock > 16 && (clock & 7) == PER_THREAD_CPU)
        f = fiber_of_pid((pid_t)(~(uint32_t)clock >> 3));
    if (!f || load_relaxed(&f->state) == FIBER_ENDED)
        return NULL;
    /* Bound from the start: its kernel thread has counted for it alone. */
    struct worker *c = load_relaxed(&f->carrier);
    return c && c->ktid == f->tid ? NULL : f;
}

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
}

static bool may_be_a_fibers(clockid_t clock)
{
    return (unsigned)clock > CLOCK_TAI || clock == CLOCK_THREAD_CPUTIME_ID;
}

static __attribute__((noinline)) int gettime_slow(clockid_t clock, struct timespec *ts)
{
    struct fiber *f = fiber_of_cpu_clock(clock);
    if (!f)
        return (int)set_errno(arch_clock(clock, ts));
    *ts = time_of(account_read(f));
    return 0;
}

static __attribute__((noinline)) int gettime_failed(int r)
{
    return (int)set_errno(r);
}

/* As many instructions as libc's wrapper of the vDSO has (11), so no frame. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("omit-frame-pointer")))
#endif
EXPORT int
clock_gettime(clockid_t clock, struct timespec *ts)
{
    if (unlikely(may_be_a_fibers(clock)))
        return gettime_slow(clock, ts);
    int r = arch_clock(clock, ts);
    return likely(r == 0) ? 0 : gettime_failed(r);
}

EXPORT int clock_getres(clockid_t clock, struct timespec *ts)
{
    struct fiber *f = may_be_a_fibers(clock) ? fiber_of_cpu_clock(clock) : NULL;
    return (int)set_errno(sys_call(SYS_clock_getres, f ? CLOCK_THREAD_CPUTIME_ID : clock, ts));
}

EXPORT int pthread_getcpuclockid(pthread_t thread, clockid_t *clock)
{
    struct fiber *f = fiber_ours(thread);
    if (!f)
        return REAL(pthread_getcpuclockid)(thread, clock);
    if (load_relaxed(&f->state) == FIBER_ENDED)
        return ESRCH;
    *clock = clock_of(f->tid);
    return 0;
}

EXPORT int getrusage(__rusage_who_t who, struct rusage *usage)
{
    struct fiber *f = who == RUSAGE_THREAD ? fiber_of_pid(0) : NULL;
    struct worker *c = f ? load_relaxed(&f->carrier) : NULL;
    if (!f || (c && c->ktid == f->tid))
        return (int)set_errno(sys_call(SYS_getrusage, who, usage));
    /* The kernel's other counters are of kernel threads; the peak memory is the process's. */
    struct rusage process;
    long r = sys_call(SYS_getrusage, RUSAGE_SELF, &process);
    if (r < 0)
        return (int)set_errno(r);
    uint64_t ns = account_read(f);
    memset(usage, 0, sizeof *usage);
    usage->ru_maxrss = process.ru_maxrss;
    usage->ru_utime.tv_sec = (time_t)(ns / NSEC_PER_SEC);
    usage->ru_utime.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC);
    return 0;
}

/* ---- clocks that the kernel is to watch ---- */

/* A kernel clock that runs like the fiber's, which is bound for it; *ahead: by how much the fiber's is
 * ahead of it. */
static int kernel_clock(struct fiber *f, clockid_t *clock, uint64_t *ahead)
{
    int err = thread_bind(f, false);
    if (err)
        return err;
    uint32_t ktid = load_relaxed(&f->carrier)->ktid;
    *clock = clock_of(ktid);
    if (ahead) {
        uint64_t total = account_read(f), kernel = thread_cpu(ktid);
        *ahead = total > kernel ? total - kernel : 0;
    }
    return 0;
}

int cpu_clock_sleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    struct fiber *f = may_be_a_fibers(clock) ? fiber_of_cpu_clock(clock) : NULL;
    struct timespec until = *time;
    if (f) {
        uint64_t ahead;
        if (f == fiber_self)
            return EINVAL; /* it would sleep for ever */
        int err = kernel_clock(f, &clock, &ahead);
        if (err)
            return -err;
        if (flags & TIMER_ABSTIME && time->tv_sec >= 0) {
            uint64_t t = (uint64_t)time->tv_sec * NSEC_PER_SEC + (uint64_t)time->tv_nsec;
            until = time_of(t > ahead ? t - ahead : 0);
        }
    }
    /* A rescue of what waits for the worker would end it early. */
    struct fiber *self = fiber_here();
    if (self)
        handoff_move_enter(self);
    struct timespec rest;
    int err;
    for (;;) {
        if (self)
            call_begins(self);
        err = REAL(clock_nanosleep)(clock, flags, &until, left ? left : &rest);
        if (err != EINTR || !self || !call_disturbed(self, false))
            break;
        if (!(flags & TIMER_ABSTIME))
            until = left ? *left : rest;
    }
    if (self)
        handoff_leave(self);
    return err;
}

/* Puts in kernel numbers for a timer on a fiber's clock, or for one that signals a fiber. */
static int translate_timer(clockid_t *clock, struct sigevent *event)
{
    struct fiber *f = may_be_a_fibers(*clock) ? fiber_of_cpu_clock(*clock) : NULL;
    int err = f ? kernel_clock(f, clock, NULL) : 0;
    if (err || !event || event->sigev_notify != SIGEV_THREAD_ID || !event->_sigev_un._tid)
        return err;
    if ((f = fiber_of_pid(event->_sigev_un._tid))) {
        if ((err = thread_bind(f, false)))
            return err;
        event->_sigev_un._tid = (pid_t)load_relaxed(&f->carrier)->ktid;
    }
    return 0;
}

EXPORT int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
    struct sigevent copy;
    if (event)
        copy = *event;
    int err = runtime_mode == RUNTIME_ACTIVE ? translate_timer(&clock, event ? &copy : NULL) : 0;
    return err ? (int)set_errno(err == -ENOMEM ? -EAGAIN : err)
               : REAL(timer_create)(clock, event ? &copy : NULL, timer);
}

long cpu_clock_syscall(long nr, const long a[6])
{
    struct timespec *ts = (struct timespec *)a[1];
    struct fiber *f;
    switch (nr) {
    case SYS_clock_gettime:
    case SYS_clock_getres:
        if (!may_be_a_fibers((clockid_t)a[0]) || !(f = fiber_of_cpu_clock((clockid_t)a[0])))
            return -ENOSYS;
        *ts = time_of(nr == SYS_clock_gettime ? account_read(f) : 1);
        return 0;
    case SYS_getrusage:
        if (a[0] != RUSAGE_THREAD || !fiber_of_pid(0))
            return -ENOSYS;
        return getrusage(RUSAGE_THREAD, (struct rusage *)a[1]) ? -errno : 0;
    case SYS_timer_create: {
        struct sigevent copy, *event = (struct sigevent *)a[1];
        clockid_t clock = (clockid_t)a[0];
        if (runtime_mode != RUNTIME_ACTIVE)
            return -ENOSYS;
        if (event)
            copy = *event;
        int err = translate_timer(&clock, event ? &copy : NULL);
        return err ? err : sys_call(SYS_timer_create, clock, event ? &copy : NULL, a[2]);
    }
    default:
        return -ENOSYS;
    }
}
