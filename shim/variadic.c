/* Functions with a variable number of arguments: syscall, fcntl, ioctl, prctl, open and its forms.
 *
 * Called on the program's stacks. Arguments that the caller did not pass are read as garbage and
 * passed on as such, which is what libc's own versions do. */
#include "shim/calls.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include "arch/syscall.h"
#include "poller/poller.h"
#include "shim/deep.h"

EXPORT long syscall(long nr, ...)
{
    va_list ap;
    long a[6];
    va_start(ap, nr);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    struct fiber *self = fiber_here();
    if (runtime_mode != RUNTIME_DIRECT) {
        long r = futex_call(nr, a);
        if (r == CALL_REFUSED)
            return set_errno(-ENOSYS);
        if (r == -ENOSYS)
            r = signal_call(nr, a);
        if (r != -ENOSYS)
            return set_errno(r);
    } else if (nr == SYS_rt_sigaction) { /* the actions are ours even then */
        return set_errno(signal_call(nr, a));
    }
    if (nr == SYS_gettid)
        return gettid();
    if (runtime_mode == RUNTIME_ACTIVE) {
        long r = sched_syscall(nr, a);
        if (r != -ENOSYS)
            return set_errno(r);
        self = fiber_here(); /* it may be bound now */
    }
    if (!self) /* libc's, in whose text its asynchronous cancellation may find the thread */
        return REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (nr == SYS_sched_yield) {
        fiber_yield(self);
        return 0;
    }
    return raw_call(self, nr, a);
}

/* A cancellation point on a kernel thread that has nothing else to do. */
static long direct_call(long nr, long a, long b, long c, long d)
{
    struct fiber *self = fiber_self;
    if (runtime_mode == RUNTIME_DORMANT || (self && load_relaxed(&self->flags) & FIBER_VFORK))
        return sys_call(nr, a, b, c, d);
    cancel_point_kernel();
    self = fiber_self;
    handoff_enter(self); /* where a cancellation calls it off */
    long r = CALL_RESTART(self, true, nr, a, b, c, d);
    handoff_leave(self);
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
    long r = CALL_UNDISTURBED(self, true, fiber_call_through(self, SYS_ioctl, fd, request, arg));
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
    struct fiber *self = fiber_of_pid(0);
    long as[6] = { option };
    long bound = self ? sched_syscall(SYS_prctl, as) : -ENOSYS;
    if (bound != -ENOSYS)
        return (int)set_errno(bound);
    if (self && option == PR_SET_NAME) {
        char name[16] = { 0 };
        if (user_check(self, (const void *)a[0], 1))
            return (int)set_errno(-EFAULT);
        strncpy(name, (const char *)a[0], sizeof name - 1); /* the kernel cuts it too */
        return pthread_setname_np(pthread_self(), name);
    }
    if (self && option == PR_GET_NAME) {
        long r = sys_call(SYS_prctl, option, a[0]); /* finds out about a bad address */
        return r ? (int)set_errno(r) : pthread_getname_np(pthread_self(), (char *)a[0], 16);
    }
    return (int)set_errno(sys_call(SYS_prctl, option, a[0], a[1], a[2], a[3]));
}

/* ---- open: FIFOs and slow filesystems block ---- */

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    struct fiber *self = fiber_at_cancel_point();
    long fd;
    if (!self) {
        fd = direct_call(SYS_openat, dir, (long)path, flags, mode);
        if (runtime_mode == RUNTIME_ACTIVE && fd == -ENOENT)
            fd = proc_open(dir, path, flags, mode, fd);
        return (int)set_errno(fd);
    }
    fd = fifo_open(self, dir, path, flags, mode);
    if (fd != -ENOSYS) {
        if (fd >= 0)
            fd_forget((int)fd);
        return (int)set_errno(fd);
    }
    handoff_enter(self);
    fd = CALL_RESTART(self, true, SYS_openat, dir, path, flags, mode);
    handoff_leave(self);
    if (fd >= 0 || fd == -ENOENT)
        fd = proc_open(dir, path, flags, mode, fd);
    if (fd >= 0)
        fd_opened((int)fd);
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

/* The fortified forms have no mode: libc's own ends the program if one is needed. */
EXPORT int __open_2(const char *path, int flags)
{
    if (flags & (O_CREAT | __O_TMPFILE))
        return REAL(__open_2)(path, flags);
    return open_at(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dir, const char *path, int flags)
{
    if (flags & (O_CREAT | __O_TMPFILE))
        return REAL(__openat_2)(dir, path, flags);
    return open_at(dir, path, flags, 0);
}

EXPORT int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
