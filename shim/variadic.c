/* Functions with a variable number of arguments: syscall, fcntl, ioctl, prctl, open and its forms.
 *
 * Called on the program's stacks. Arguments that the caller did not pass are read as garbage and
 * passed on as such, which is what libc's own versions do. */
#include "shim/calls.h"

#include <linux/futex.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include "arch/syscall.h"
#include "poller/poller.h"
#include "shim/deep.h"
#include "sync/waitq.h"

/* ---- futex(2) for private futexes of this process ---- */

static int futex_deadline(int op, const struct timespec *ts, uint64_t *deadline)
{
    *deadline = TIMER_NEVER;
    if (!ts)
        return 0;
    if (ts->tv_nsec < 0 || ts->tv_nsec >= (long)NSEC_PER_SEC || ts->tv_sec < 0)
        return -EINVAL;
    if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT) { /* relative */
        *deadline = ts->tv_sec > INT32_MAX
                        ? TIMER_NEVER - 1
                        : timer_now() + (uint64_t)ts->tv_sec * NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
        return 0;
    }
    return deadline_from(op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, ts, deadline)
               ? 0
               : -EINVAL;
}

/* -ENOSYS: the kernel's to do. */
long futex_private(uint32_t *addr, int op, uint32_t value, const struct timespec *ts,
                   uint32_t *addr2, uint32_t value3)
{
    uint64_t deadline;
    long err;
    if (!(op & FUTEX_PRIVATE_FLAG) || ((uintptr_t)addr & 3))
        return -ENOSYS;
    int n = value > INT_MAX ? INT_MAX : (int)value;
    switch (op & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT)
            value3 = FUTEX_BITSET_MATCH_ANY;
        if (!value3)
            return -EINVAL;
        if ((err = futex_deadline(op, ts, &deadline)))
            return err;
        do {
            err = waitq_wait((_Atomic uint32_t *)addr, value, value3, deadline, PARK_FUTEX);
            if (err == -EINTR) /* not a cancellation point */
                sched_wait_interrupted(fiber_self);
        } while (err == -EINTR && restart_wait(fiber_self, deadline == TIMER_NEVER));
        return err;
    case FUTEX_WAKE:
        return waitq_wake(addr, n ? n : 1, WAITQ_ANY);
    case FUTEX_WAKE_BITSET:
        return value3 ? waitq_wake(addr, n ? n : 1, value3) : -EINVAL;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        return waitq_requeue((_Atomic uint32_t *)addr, addr2, n, (int)(uintptr_t)ts,
                             (op & FUTEX_CMD_MASK) == FUTEX_CMP_REQUEUE, value3);
    case FUTEX_WAKE_OP: {
        int oparg = (int)(value3 << 8) >> 20, cmparg = (int)(value3 << 20) >> 20, old;
        _Atomic int *word = (_Atomic int *)(void *)addr2;
        if (value3 >> 31)
            oparg = 1 << (oparg & 31);
        switch (value3 >> 28 & 7) {
        case FUTEX_OP_SET:
            old = atomic_exchange(word, oparg);
            break;
        case FUTEX_OP_ADD:
            old = atomic_fetch_add(word, oparg);
            break;
        case FUTEX_OP_OR:
            old = atomic_fetch_or(word, oparg);
            break;
        case FUTEX_OP_ANDN:
            old = atomic_fetch_and(word, ~oparg);
            break;
        case FUTEX_OP_XOR:
            old = atomic_fetch_xor(word, oparg);
            break;
        default:
            return -ENOSYS;
        }
        bool match = false;
        switch (value3 >> 24 & 15) {
        case FUTEX_OP_CMP_EQ:
            match = old == cmparg;
            break;
        case FUTEX_OP_CMP_NE:
            match = old != cmparg;
            break;
        case FUTEX_OP_CMP_LT:
            match = old < cmparg;
            break;
        case FUTEX_OP_CMP_LE:
            match = old <= cmparg;
            break;
        case FUTEX_OP_CMP_GT:
            match = old > cmparg;
            break;
        case FUTEX_OP_CMP_GE:
            match = old >= cmparg;
            break;
        }
        int woken = waitq_wake(addr, n, WAITQ_ANY);
        if (match)
            woken += waitq_wake(addr2, (int)(uintptr_t)ts, WAITQ_ANY);
        return woken;
    }
    default:
        return -ENOSYS;
    }
}

EXPORT long syscall(long nr, ...)
{
    va_list ap;
    long a[6];
    va_start(ap, nr);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    struct fiber *self = fiber_here();
    if (nr == SYS_futex && runtime_mode != RUNTIME_DIRECT && fiber_self) {
        long r = futex_private((uint32_t *)a[0], (int)a[1], (uint32_t)a[2],
                               (const struct timespec *)a[3], (uint32_t *)a[4], (uint32_t)a[5]);
        if (r != -ENOSYS)
            return set_errno(r);
    }
    if (!self)
        return set_errno(arch_syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
    if (nr == SYS_gettid)
        return (long)self->tid;
    if (nr == SYS_tgkill || nr == SYS_tkill) {
        long r = nr == SYS_tkill ? signal_tid((uint32_t)a[0], (int)a[1])
                                 : signal_tid((uint32_t)a[1], (int)a[2]);
        if (r != -ENOSYS)
            return set_errno(r);
    }
    if (nr == SYS_sched_yield) {
        fiber_yield(self);
        return 0;
    }
    /* Calls that change descriptors behind the table's back. */
    if (nr == SYS_fcntl || nr == SYS_ioctl || nr == SYS_dup || nr == SYS_dup2 || nr == SYS_dup3)
        fd_unshare(a[0] < 0 ? 0 : (int)a[0]);
    else if (nr == SYS_sendmsg || nr == SYS_sendmmsg || nr == SYS_clone || nr == SYS_clone3 ||
             nr == SYS_fork)
        fd_unshare(-1);
    handoff_enter(self);
    long r = arch_syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    handoff_leave(self);
    return set_errno(r);
}

/* A cancellation point of a thread that is libc's: as libc does it. */
static long direct_call(long nr, long a, long b, long c, long d)
{
    struct fiber *self = fiber_self;
    int type;
    if (runtime_mode == RUNTIME_DORMANT || (self && load_relaxed(&self->flags) & FIBER_VFORK))
        return sys_call(nr, a, b, c, d);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    long r = sys_call(nr, a, b, c, d);
    pthread_setcanceltype(type, NULL);
    return r;
}

/* ---- fcntl: waiting for record locks blocks ---- */

EXPORT int fcntl(int fd, int cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    bool waits = cmd == F_SETLKW || cmd == F_OFD_SETLKW;
    struct fiber *self = waits ? fiber_at_cancel_point() : fiber_here();
    if ((cmd == F_SETFL || cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) && fd >= 0)
        fd_unshare(fd);
    if (!self || !waits) {
        long r = waits ? direct_call(SYS_fcntl, fd, cmd, (long)arg, 0)
                       : sys_call(SYS_fcntl, fd, cmd, arg);
        if (cmd == F_SETFL && self && fd_classify(fd) == FD_FILE)
            fd_forget(fd); /* O_DIRECT */
        return (int)set_errno(r);
    }
    long r = sys_call(SYS_fcntl, fd, cmd == F_SETLKW ? F_SETLK : F_OFD_SETLK, arg);
    if (r == -EAGAIN || r == -EACCES) {
        handoff_block_enter(self);
        r = CALL_RESTART(self, true, SYS_fcntl, fd, cmd, arg);
        handoff_block_leave(self);
    }
    return (int)set_errno(r);
}

/* ---- ioctl: FIONBIO is another way to set O_NONBLOCK ---- */

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    va_start(ap, request);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    if (request == FIONBIO && fd >= 0)
        fd_unshare(fd);
    struct fiber *self = fiber_here();
    if (!self)
        return (int)set_errno(sys_call(SYS_ioctl, fd, request, arg));
    handoff_enter(self);
    long r = sys_call(SYS_ioctl, fd, request, arg);
    handoff_leave(self);
    return (int)set_errno(r);
}

/* ---- prctl: the name is the thread's, not the worker's ---- */

EXPORT int prctl(int option, ...)
{
    va_list ap;
    long a[4];
    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    struct fiber *self = fiber_here();
    if (self && option == PR_SET_NAME) {
        char name[16] = { 0 };
        strncpy(name, (const char *)a[0], sizeof name - 1); /* the kernel cuts it too */
        return pthread_setname_np(pthread_self(), name);
    }
    if (self && option == PR_GET_NAME)
        return pthread_getname_np(pthread_self(), (char *)a[0], 16);
    return (int)set_errno(sys_call(SYS_prctl, option, a[0], a[1], a[2], a[3]));
}

/* ---- open: FIFOs and slow filesystems block ---- */

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return (int)set_errno(direct_call(SYS_openat, dir, (long)path, flags, mode));
    handoff_enter(self);
    long fd = CALL_RESTART(self, true, SYS_openat, dir, path, flags, mode);
    if (fd >= 0)
        fd_opened((int)fd);
    handoff_leave(self);
    return (int)set_errno(fd);
}

#define MODE(flags, last, mode)                                                                    \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                       \
        va_list ap;                                                                                \
        va_start(ap, last);                                                                        \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
    }

EXPORT int open(const char *path, int flags, ...)
{
    MODE(flags, flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    MODE(flags, flags, mode)
    return open_at(dir, path, flags, mode);
}

EXPORT int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
