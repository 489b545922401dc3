/* Scheduling attributes, and everything else that belongs to one kernel thread: affinity, policy,
 * priority, nice, namespaces, capabilities, filters.
 *
 * A fiber that sets one of them to what not every thread has becomes bound (lib/thread/bind.c); asking
 * binds nobody. tids of fibers mean their kernel threads; tids and pids that are the kernel's pass
 * unchanged. The same work is done for syscall(2), which sched_syscall serves with the kernel's
 * conventions: the exported functions are thin coats over it. Called on the program's stacks. */
#include "shim/calls.h"

#include <linux/io_uring.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "arch/syscall.h"
#include "sync/sync.h"

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1u << 12)
#endif
#define IOPRIO_WHO_PROCESS 1

struct fiber *fiber_of_pid(pid_t pid)
{
    struct fiber *f = fiber_self, *main_fiber = sched_main_fiber;
    if (runtime_mode != RUNTIME_ACTIVE || !f || load_relaxed(&f->flags) & FIBER_VFORK)
        return NULL;
    if (main_fiber && (uint32_t)pid == main_fiber->tid)
        f = main_fiber;
    else if (pid != 0)
        f = fiber_of_tid((uint32_t)pid);
    uint32_t flags = f ? load_relaxed(&f->flags) : FIBER_KERNEL;
    return flags & FIBER_BOUND || !(flags & FIBER_KERNEL) ? f : NULL;
}

/* ---- one system call on some kernel thread ---- */

struct request {
    long nr;
    int who; /* which argument is the thread */
    long a[6];
};

static long perform(uint32_t ktid, void *arg)
{
    struct request *q = arg;
    long a[6];
    memcpy(a, q->a, sizeof a);
    a[q->who] = ktid;
    return arch_syscall6(q->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Whether f, which has no kernel thread of its own, has that affinity anyway; then nothing is to do. */
static bool has_affinity(struct fiber *f, const struct request *q)
{
    uint64_t now[128] = { 0 }, mask[128] = { 0 };
    if (load_relaxed(&f->carrier) || (size_t)q->a[1] > sizeof mask || !q->a[2])
        return false;
    struct request ask = { .nr = SYS_sched_getaffinity, .a = { 0, sizeof now, (long)now } };
    if (user_probe((const void *)q->a[2], (size_t)q->a[1]))
        return false; /* the kernel says it */
    memcpy(mask, (const void *)q->a[2], (size_t)q->a[1]);
    return thread_ask(f, perform, &ask) > 0 && !memcmp(now, mask, sizeof mask);
}

static bool has_policy(struct fiber *f, int policy, const struct sched_param *param)
{
    struct sched_param now = { 0 };
    struct request ask = { .nr = SYS_sched_getscheduler },
                   get = { .nr = SYS_sched_getparam, .a = { 0, (long)&now } };
    return !load_relaxed(&f->carrier) && param && !user_probe(param, sizeof *param) &&
           thread_ask(f, perform, &ask) == policy && thread_ask(f, perform, &get) == 0 &&
           now.sched_priority == param->sched_priority;
}

static bool has_nice(struct fiber *f, int nice)
{
    struct request ask = { .nr = SYS_getpriority, .who = 1, .a = { PRIO_PROCESS } };
    return !load_relaxed(&f->carrier) && thread_ask(f, perform, &ask) == 20 - nice;
}

/* f becomes bound and cannot be told apart by comparing; the call itself follows on its kernel
 * thread. */
static long own(struct fiber *self)
{
    if (!self || load_relaxed(&self->flags) & FIBER_VFORK || runtime_mode != RUNTIME_ACTIVE ||
        (load_relaxed(&self->flags) & (FIBER_KERNEL | FIBER_BOUND)) == FIBER_KERNEL)
        return -ENOSYS;
    int err = thread_bind(self, true);
    return err ? err : -ENOSYS;
}

static bool option_is_own(int option)
{
    switch (option) {
    case PR_SET_SECCOMP:
    case PR_CAPBSET_DROP:
    case PR_SET_SECUREBITS:
    case PR_SET_KEEPCAPS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_CAP_AMBIENT:
    case PR_SET_SPECULATION_CTRL:
    case PR_SET_TIMERSLACK:
    case PR_SET_TSC:
    case PR_SET_IO_FLUSHER:
        return true;
    default:
        return false;
    }
}

static long perf_event(const long a[6])
{
    struct fiber *f = (pid_t)a[1] < 0 ? NULL : fiber_of_pid((pid_t)a[1]);
    if (!f)
        return -ENOSYS;
    struct request q = { .nr = SYS_perf_event_open, .who = 1 };
    memcpy(q.a, a, sizeof q.a);
    return thread_apply(f, perform, &q, true);
}

long sched_syscall(long nr, const long a[6])
{
    struct request q = { .nr = nr };
    struct fiber *f;
    bool set = false;
    switch (nr) {
    case SYS_sched_setaffinity:
    case SYS_sched_setscheduler:
    case SYS_sched_setparam:
    case SYS_sched_setattr:
        set = true;
        break;
    case SYS_sched_getaffinity:
    case SYS_sched_getscheduler:
    case SYS_sched_getparam:
    case SYS_sched_getattr:
    case SYS_sched_rr_get_interval:
        break;
    case SYS_setpriority:
    case SYS_getpriority:
        if (a[0] != PRIO_PROCESS)
            return -ENOSYS;
        set = nr == SYS_setpriority;
        q.who = 1;
        break;
    case SYS_ioprio_set:
    case SYS_ioprio_get:
        if (a[0] != IOPRIO_WHO_PROCESS)
            return -ENOSYS;
        set = nr == SYS_ioprio_set;
        q.who = 1;
        break;
    case SYS_prlimit64: /* the process's, whichever thread names it */
        if (!fiber_tid_is_ours((uint32_t)a[0]) || !fiber_of_pid((pid_t)a[0]))
            return -ENOSYS;
        return arch_syscall6(nr, 0, a[1], a[2], a[3], 0, 0);
    case SYS_rt_tgsigqueueinfo:
        f = a[1] ? fiber_of_pid((pid_t)a[1]) : NULL;
        return f && (pid_t)a[0] == (pid_t)sys_call(SYS_getpid)
                   ? signal_send(f, (const siginfo_t *)a[3])
                   : -ENOSYS;
    case SYS_prctl:
        return option_is_own((int)a[0]) ? own(fiber_self) : -ENOSYS;
    case SYS_io_uring_setup:
        return a[1] && ((const struct io_uring_params *)a[1])->flags & IORING_SETUP_SINGLE_ISSUER
                   ? own(fiber_self)
                   : -ENOSYS;
    case SYS_unshare:
    case SYS_setns:
    case SYS_ptrace:
    case SYS_seccomp:
    case SYS_capset:
    case SYS_set_mempolicy:
    case SYS_setfsuid:
    case SYS_setfsgid:
    case SYS_setuid: /* through syscall(2) they change one kernel thread only */
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid:
    case SYS_setgroups:
        return own(fiber_self);
    case SYS_perf_event_open:
        return perf_event(a);
    default:
        return cpu_clock_syscall(nr, a);
    }
    if (!(f = fiber_of_pid((pid_t)a[q.who])))
        return -ENOSYS;
    memcpy(q.a, a, sizeof q.a);
    if (!set)
        return thread_ask(f, perform, &q);
    if ((nr == SYS_sched_setaffinity && has_affinity(f, &q)) ||
        (nr == SYS_sched_setscheduler &&
         has_policy(f, (int)a[1], (const struct sched_param *)a[2])) ||
        (nr == SYS_setpriority && has_nice(f, (int)a[2])))
        return 0;
    return thread_apply(f, perform, &q, false);
}

/* Ours, or the kernel's. */
#define CALL_ON(nr, ...)                                                                           \
    ({                                                                                             \
        long a_[6] = { __VA_ARGS__ }, r_ = sched_syscall((nr), a_);                                \
        r_ == -ENOSYS ? arch_syscall6((nr), a_[0], a_[1], a_[2], a_[3], a_[4], a_[5]) : r_;        \
    })

/* ---- by tid ---- */

static long fill_mask(long r, cpu_set_t *set, size_t size)
{
    if (r < 0)
        return r;
    memset((char *)set + r, 0, size - (size_t)r);
    return 0;
}

EXPORT int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
    return (int)set_errno(CALL_ON(SYS_sched_setaffinity, pid, (long)size, (long)set));
}

EXPORT int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    size_t most = size < INT32_MAX ? size : INT32_MAX;
    return (int)set_errno(
        fill_mask(CALL_ON(SYS_sched_getaffinity, pid, (long)most, (long)set), set, size));
}

EXPORT int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
    return (int)set_errno(CALL_ON(SYS_sched_setscheduler, pid, policy, (long)param));
}

EXPORT int sched_getscheduler(pid_t pid)
{
    return (int)set_errno(CALL_ON(SYS_sched_getscheduler, pid));
}

EXPORT int sched_setparam(pid_t pid, const struct sched_param *param)
{
    return (int)set_errno(CALL_ON(SYS_sched_setparam, pid, (long)param));
}

EXPORT int sched_getparam(pid_t pid, struct sched_param *param)
{
    return (int)set_errno(CALL_ON(SYS_sched_getparam, pid, (long)param));
}

EXPORT int sched_rr_get_interval(pid_t pid, struct timespec *ts)
{
    return (int)set_errno(CALL_ON(SYS_sched_rr_get_interval, pid, (long)ts));
}

EXPORT int setpriority(__priority_which_t which, id_t who, int priority)
{
    return (int)set_errno(CALL_ON(SYS_setpriority, which, who, priority));
}

EXPORT int getpriority(__priority_which_t which, id_t who)
{
    long r = CALL_ON(SYS_getpriority, which, who);
    return r < 0 ? (int)set_errno(r) : (int)(20 - r); /* the kernel avoids negative results */
}

EXPORT int nice(int increment)
{
    long now = 20 - CALL_ON(SYS_getpriority, PRIO_PROCESS, 0);
    long then = now + increment;
    if (then > 19)
        then = 19;
    long r = CALL_ON(SYS_setpriority, PRIO_PROCESS, 0, then < -20 ? -20 : then);
    if (r < 0)
        return (int)set_errno(r == -EACCES ? -EPERM : r);
    return (int)(20 - CALL_ON(SYS_getpriority, PRIO_PROCESS, 0));
}

EXPORT int prlimit(pid_t pid, __rlimit_resource_t resource, const struct rlimit *now,
                   struct rlimit *old)
{
    return (int)set_errno(CALL_ON(SYS_prlimit64, pid, resource, (long)now, (long)old));
}

/* ---- by pthread_t ---- */

EXPORT int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
    struct fiber *f = fiber_ours(thread);
    if (!f)
        return REAL(pthread_setaffinity_np)(thread, size, set);
    struct request q = { .nr = SYS_sched_setaffinity, .a = { 0, (long)size, (long)set } };
    return has_affinity(f, &q) ? 0 : (int)-thread_apply(f, perform, &q, false);
}

EXPORT int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
    struct fiber *f = fiber_ours(thread);
    if (!f)
        return REAL(pthread_getaffinity_np)(thread, size, set);
    size_t most = size < INT32_MAX ? size : INT32_MAX;
    struct request q = { .nr = SYS_sched_getaffinity, .a = { 0, (long)most, (long)set } };
    return (int)-fill_mask(thread_ask(f, perform, &q), set, size);
}

/* The calling thread, at the ceiling of a mutex that it holds. Of others that is not looked at. */
static bool at_ceiling(pthread_t thread, int *policy, int *priority)
{
    return fiber_self && fiber_self->ceilings && thread == pthread_self() &&
           ceiling_has(fiber_self, policy, priority);
}

EXPORT int pthread_setschedparam(pthread_t thread, int policy, const struct sched_param *param)
{
    struct fiber *f = fiber_ours(thread);
    int policy_now, priority;
    if (at_ceiling(thread, &policy_now, &priority))
        return -ceiling_base(fiber_self, policy, param->sched_priority);
    if (!f)
        return REAL(pthread_setschedparam)(thread, policy, param);
    struct request q = { .nr = SYS_sched_setscheduler, .a = { 0, policy, (long)param } };
    return has_policy(f, policy, param) ? 0 : (int)-thread_apply(f, perform, &q, false);
}

EXPORT int pthread_setschedprio(pthread_t thread, int priority)
{
    struct fiber *f = fiber_ours(thread);
    int policy, before;
    if (at_ceiling(thread, &policy, &before))
        return -ceiling_base(fiber_self, policy, priority);
    if (!f)
        return REAL(pthread_setschedprio)(thread, priority);
    struct sched_param param = { .sched_priority = priority };
    struct request q = { .nr = SYS_sched_setparam, .a = { 0, (long)&param } };
    return (int)-thread_apply(f, perform, &q, false);
}

EXPORT int pthread_getschedparam(pthread_t thread, int *policy, struct sched_param *param)
{
    struct fiber *f = fiber_ours(thread);
    if (at_ceiling(thread, policy, &param->sched_priority))
        return 0;
    if (!f)
        return REAL(pthread_getschedparam)(thread, policy, param);
    struct request q = { .nr = SYS_sched_getscheduler };
    long r = thread_ask(f, perform, &q);
    if (r < 0)
        return (int)-r;
    *policy = (int)r & ~SCHED_RESET_ON_FORK;
    q = (struct request){ .nr = SYS_sched_getparam, .a = { 0, (long)param } };
    return (int)-thread_ask(f, perform, &q);
}

/* ---- for oneself ---- */

#define FOR_ONESELF(name, ...)                                                                     \
    ({                                                                                             \
        long zero_[6] = { 0 }, r_ = sched_syscall(SYS_##name, zero_);                              \
        r_ == -ENOSYS ? REAL(name)(__VA_ARGS__) : (int)set_errno(r_);                              \
    })

EXPORT int unshare(int flags)
{
    return FOR_ONESELF(unshare, flags);
}

EXPORT int setns(int fd, int kind)
{
    return FOR_ONESELF(setns, fd, kind);
}

int capset(void *header, const void *data);
EXPORT int capset(void *header, const void *data)
{
    return FOR_ONESELF(capset, header, data);
}

int setfsuid(uid_t id);
EXPORT int setfsuid(uid_t id)
{
    return FOR_ONESELF(setfsuid, id);
}

int setfsgid(gid_t id);
EXPORT int setfsgid(gid_t id)
{
    return FOR_ONESELF(setfsgid, id);
}

/* Only the kernel thread that attached is the tracer. */
long ptrace(int request, ...);
EXPORT long ptrace(int request, ...)
{
    va_list ap;
    va_start(ap, request);
    pid_t pid = va_arg(ap, pid_t);
    void *addr = va_arg(ap, void *), *data = va_arg(ap, void *);
    va_end(ap);
    long none[6] = { 0 }, r = sched_syscall(SYS_ptrace, none);
    return r == -ENOSYS ? REAL(ptrace)(request, pid, addr, data) : set_errno(r);
}
