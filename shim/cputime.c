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
#include "sync/waitq.h"

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
    long r = sys_call(SYS_getrusage, RUSAGE_SELF, usage); /* which finds out about a bad address */
    if (r < 0)
        return (int)set_errno(r);
    uint64_t ns = account_read(f);
    long most = usage->ru_maxrss;
    memset(usage, 0, sizeof *usage);
    usage->ru_maxrss = most;
    usage->ru_utime.tv_sec = (time_t)(ns / NSEC_PER_SEC);
    usage->ru_utime.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC);
    return 0;
}

/* ---- clocks that the kernel is to watch ---- */

/* A fiber that computes goes to its kernel thread soon, one that waits when it is woken: neither uses CPU
 * time in between that the kernel's clock would miss, once this returns. */
static void wait_for_move(struct fiber *f)
{
    struct fiber *self = fiber_current();
    for (int i = 0; i < 100; i++) {
        if (f == self || load_relaxed(&f->flags) & FIBER_BOUND ||
            load_relaxed(&f->state) != FIBER_RUNNING || load_relaxed(&f->in_syscall))
            return;
        struct timespec ms = { 0, 1000000 };
        if (load_relaxed(&self->flags) & FIBER_DIRECT)
            sys_call(SYS_nanosleep, &ms, NULL);
        else
            fiber_sleep(self, timer_now() + NSEC_PER_MSEC);
    }
}

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
        wait_for_move(f);
        uint64_t total = account_read(f), kernel = thread_cpu(ktid);
        *ahead = total > kernel ? total - kernel : 0;
    }
    return 0;
}

int cpu_clock_sleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    struct fiber *f = may_be_a_fibers(clock) ? fiber_of_cpu_clock(clock) : NULL;
    if (user_probe(time, sizeof *time))
        return EFAULT;
    struct timespec until = *time;
    if (f) {
        uint64_t ahead;
        if (f == fiber_self || time->tv_sec < 0 || (unsigned long)time->tv_nsec >= NSEC_PER_SEC)
            return EINVAL; /* its own: it would sleep for ever */
        int err = kernel_clock(f, &clock, &ahead);
        if (err)
            return -err;
        if (flags & TIMER_ABSTIME) {
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

/* Timers on the clock of a fiber that is ahead of its kernel thread's: for those set to an absolute time.
 * Signal handlers may set timers, so this has no lock. */
static struct cpu_timer {
    _Atomic uint64_t id; /* the timer_t + 1, 0: free, CLAIMED */
    uint64_t ahead;
} cpu_timers[1024];
#define CLAIMED UINT64_MAX
static _Atomic uint32_t cpu_timers_used;

static struct cpu_timer *cpu_timer_claim(uint64_t ahead)
{
    for (size_t i = 0; i < sizeof cpu_timers / sizeof *cpu_timers; i++) {
        uint64_t none = 0;
        if (!cas_acquire(&cpu_timers[i].id, &none, CLAIMED))
            continue;
        cpu_timers[i].ahead = ahead;
        add_relaxed(&cpu_timers_used, 1);
        return &cpu_timers[i];
    }
    return NULL;
}

static void cpu_timer_free(struct cpu_timer *t)
{
    atomic_fetch_sub_explicit(&cpu_timers_used, 1, memory_order_relaxed);
    store_release(&t->id, 0); /* partner: claim's acquire */
}

static struct cpu_timer *cpu_timer_of(uint64_t id)
{
    if (likely(!load_relaxed(&cpu_timers_used)))
        return NULL;
    for (size_t i = 0; i < sizeof cpu_timers / sizeof *cpu_timers; i++)
        if (load_acquire(&cpu_timers[i].id) == id + 1)
            return &cpu_timers[i];
    return NULL;
}

/* A child has no timers. */
void cpu_timers_after_fork(void)
{
    memset(cpu_timers, 0, sizeof cpu_timers);
    store_relaxed(&cpu_timers_used, 0);
}

/* What to set the timer to, as the kernel counts. */
static const struct itimerspec *timer_value(uint64_t id, int flags, const struct itimerspec *value,
                                            struct itimerspec *copy)
{
    struct cpu_timer *t = flags & TIMER_ABSTIME && value ? cpu_timer_of(id) : NULL;
    if (!t || value->it_value.tv_sec < 0 ||
        (unsigned long)value->it_value.tv_nsec >= NSEC_PER_SEC ||
        (!value->it_value.tv_sec && !value->it_value.tv_nsec))
        return value; /* wrong, or it is disarmed */
    uint64_t at = (uint64_t)value->it_value.tv_sec * NSEC_PER_SEC +
                  (uint64_t)value->it_value.tv_nsec;
    *copy = *value;
    copy->it_value = time_of(at > t->ahead ? at - t->ahead : 1); /* 0 would disarm it */
    return copy;
}

EXPORT int timer_settime(timer_t timer, int flags, const struct itimerspec *value,
                         struct itimerspec *old)
{
    struct itimerspec copy;
    return REAL(timer_settime)(timer, flags, timer_value((uint64_t)timer, flags, value, &copy),
                               old);
}

EXPORT int timer_delete(timer_t timer)
{
    struct cpu_timer *t = cpu_timer_of((uint64_t)timer);
    if (t)
        cpu_timer_free(t); /* before the number is somebody else's */
    return REAL(timer_delete)(timer);
}

/* Puts in kernel numbers for a timer on a fiber's clock, or for one that signals a fiber. */
static int translate_timer(clockid_t *clock, struct sigevent *event, uint64_t *ahead)
{
    struct fiber *f = may_be_a_fibers(*clock) ? fiber_of_cpu_clock(*clock) : NULL;
    int err = f ? kernel_clock(f, clock, ahead) : 0;
    if (err || !event || event->sigev_notify != SIGEV_THREAD_ID || !event->_sigev_un._tid)
        return err;
    if ((f = fiber_of_pid(event->_sigev_un._tid))) {
        if ((err = thread_bind(f, false)))
            return err;
        event->_sigev_un._tid = (pid_t)load_relaxed(&f->carrier)->ktid;
    }
    return 0;
}

/* create makes the timer and stores its number in *id; 0 or -errno. */
static int make_timer(clockid_t clock, struct sigevent *event, uint64_t *id,
                      int (*create)(clockid_t, struct sigevent *, uint64_t *))
{
    struct sigevent copy;
    uint64_t ahead = 0;
    struct cpu_timer *t = NULL;
    if (event)
        copy = *event;
    int err = translate_timer(&clock, event ? &copy : NULL, &ahead);
    if (err)
        return err == -ENOMEM ? -EAGAIN : err;
    if (ahead && !(t = cpu_timer_claim(ahead)))
        return -EAGAIN;
    err = create(clock, event ? &copy : NULL, id);
    if (t && err)
        cpu_timer_free(t);
    else if (t)
        store_release(&t->id, *id + 1); /* partner: cpu_timer_of */
    return err;
}

static int create_libc(clockid_t clock, struct sigevent *event, uint64_t *id)
{
    timer_t timer;
    if (REAL(timer_create)(clock, event, &timer))
        return -errno;
    *id = (uint64_t)timer;
    return 0;
}

static int create_raw(clockid_t clock, struct sigevent *event, uint64_t *id)
{
    int timer;
    long r = sys_call(SYS_timer_create, clock, event, &timer);
    if (!r)
        *id = (uint64_t)timer;
    return (int)r;
}

EXPORT int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
    uint64_t id;
    if (runtime_mode != RUNTIME_ACTIVE)
        return REAL(timer_create)(clock, event, timer);
    int err = make_timer(clock, event, &id, create_libc);
    if (!err)
        *timer = (timer_t)id;
    return (int)set_errno(err);
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
        uint64_t id;
        if ((a[1] && user_probe((void *)a[1], sizeof(struct sigevent))) ||
            user_probe((void *)a[2], sizeof(int)))
            return -EFAULT;
        int err = make_timer((clockid_t)a[0], (struct sigevent *)a[1], &id, create_raw);
        if (!err)
            *(int *)a[2] = (int)id;
        return err;
    }
    case SYS_timer_settime: {
        struct itimerspec copy;
        const struct itimerspec *value = (const struct itimerspec *)a[2];
        return cpu_timer_of((uint64_t)(int)a[0])
                   ? sys_call(SYS_timer_settime, a[0], a[1],
                              timer_value((uint64_t)(int)a[0], (int)a[1], value, &copy), a[3])
                   : -ENOSYS;
    }
    case SYS_timer_delete: {
        struct cpu_timer *t = cpu_timer_of((uint64_t)(int)a[0]);
        if (t)
            cpu_timer_free(t);
        return -ENOSYS;
    }
    default:
        return -ENOSYS;
    }
}
