/* Waiting for children: wait, waitpid, wait3, wait4, waitid.
 *
 * Whatever the fiber waits with only says that there is something to collect (WNOWAIT): the call that
 * collects it is the kernel's own, with WNOHANG. So a wait that is interrupted or cancelled has not
 * taken a child's status away, and resource usage and status words are the kernel's.
 *
 * The ring waits with its own operation (Linux 6.7). Without it the end of a single child is awaited on
 * a descriptor (pidfd); any other wait blocks a kernel thread.
 *
 * Called on the program's stacks; results inside are the kernel's kind. */
#include "shim/fdio.h"

#include <poll.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef __WALL
#define __WALL 0x40000000
#endif

/* Until a child of the set has something that options (waitid's) ask for, or there is none. 0: look
 * again; -EINTR; -EOPNOTSUPP: cannot. */
static long wait_for_child(struct fiber *self, idtype_t type, id_t id, int options)
{
    struct io io = { .kind = IO_WAITID,
                     .reason = PARK_SYSCALL,
                     .fd = (int)id,
                     .len = (uint32_t)type,
                     .flags = (uint32_t)((options & ~WNOHANG) | WNOWAIT) };
    long r = RESTART(self, true, poller->io(self, &io, TIMER_NEVER));
    if (r != -EOPNOTSUPP)
        return r == -EINTR ? r : 0;
    if (type != P_PID || (options & (WEXITED | WSTOPPED | WCONTINUED)) != WEXITED)
        return -EOPNOTSUPP;
    int fd = (int)sys_call(SYS_pidfd_open, id, 0);
    if (fd < 0)
        return fd == -ESRCH ? 0 : -EOPNOTSUPP;
    fd_forget(fd);
    /* The number may have become another process's meanwhile; a child of ours it is if it still is one
     * of those that can be waited for. */
    siginfo_t info = { 0 };
    r = sys_call(SYS_waitid, P_PID, id, &info, options | WNOHANG | WNOWAIT, NULL);
    if (!r && !info.si_signo)
        r = poller_wait(self, fd, POLLIN, TIMER_NEVER, PARK_SYSCALL);
    poller->closing(self, fd);
    sys_call(SYS_close, fd);
    if (r == -EINTR && wait_goes_on(self, true))
        return 0;
    return r == -EINTR ? r : 0;
}

/* Whether the second look, after a wait said that there is something, may find nothing: somebody else
 * collected it. Then the loop waits again. */
static long wait_any(struct fiber *self, pid_t pid, int *status, int options, struct rusage *usage)
{
    idtype_t type = pid > 0 ? P_PID : pid == -1 ? P_ALL : P_PGID;
    id_t id = pid > 0 ? (id_t)pid : pid == -1 ? 0 : (id_t)-pid;
    int kinds = WEXITED | (options & WUNTRACED ? WSTOPPED : 0) |
                (options & (int)(WCONTINUED | __WNOTHREAD | __WCLONE | (unsigned)__WALL));
    for (;;) {
        long r = sys_call(SYS_wait4, pid, status, options | WNOHANG, usage);
        if (r || options & WNOHANG)
            return r;
        /* __WNOTHREAD asks for children of this very thread, which is nobody's but the worker's. */
        r = options & __WNOTHREAD ? -EOPNOTSUPP : wait_for_child(self, type, id, kinds);
        if (r == -EOPNOTSUPP)
            return BLOCKED(self, CALL_RESTART(self, true, SYS_wait4, pid, status, options, usage));
        if (r)
            return r;
    }
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || pid == INT32_MIN)
        return REAL(wait4)(pid, status, options, usage);
    return (pid_t)set_errno(wait_any(self, pid, status, options, usage));
}

EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
    return wait4(pid, status, options, NULL);
}

EXPORT pid_t wait(int *status)
{
    return wait4(-1, status, 0, NULL);
}

EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
    return wait4(-1, status, options, usage);
}

EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(waitid)(type, id, info, options);
    siginfo_t own, *to = info ? info : &own;
    /* A descriptor with O_NONBLOCK answers EAGAIN by itself. */
    bool direct = options & (WNOHANG | __WNOTHREAD) ||
                  ((int)type == P_PIDFD && fd_nonblocking((int)id));
    for (;;) {
        if (!direct)
            own.si_signo = 0;
        long r = direct ? BLOCKED(self, CALL_RESTART(self, true, SYS_waitid, type, id, info,
                                                     options, NULL))
                        : sys_call(SYS_waitid, type, id, to, options | WNOHANG, NULL);
        if (r || direct || to->si_signo)
            return (int)set_errno(r);
        r = wait_for_child(self, type, id, options);
        if (r == -EOPNOTSUPP)
            direct = true;
        else if (r)
            return (int)set_errno(r);
    }
}
