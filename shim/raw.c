/* syscall(2): system calls by their number, for which there may be a function of ours.
 *
 * Those that wait on descriptors or for time are answered as the functions are, so that the fiber parks; the
 * others block the kernel thread, whose proc is passed on. syscall(2) is no cancellation point, but the
 * asynchronous type ends any wait. A call that a signal ended which was not for this fiber is made again
 * (call_disturbed): the kernel restarts calls by the flags of the handler, which was not the fiber's. Signals,
 * futexes and what names a thread were looked at before (variadic.c).
 *
 * Called on the program's stacks. */
#include "shim/calls.h"

#include <string.h>
#include "arch/syscall.h"
#include "poller/poller.h"
#include "shim/deep.h"

/* The function of the same meaning; the result is libc's kind. False: none. */
static bool by_function(long nr, const long a[6], long *r)
{
    switch (nr) {
    case SYS_accept:
        *r = accept((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2]);
        return true;
    case SYS_accept4:
        *r = accept4((int)a[0], (struct sockaddr *)a[1], (socklen_t *)a[2], (int)a[3]);
        return true;
    case SYS_epoll_wait:
        *r = epoll_wait((int)a[0], (struct epoll_event *)a[1], (int)a[2], (int)a[3]);
        return true;
    case SYS_epoll_pwait:
        if (a[4] && a[5] != 8)
            return false; /* an error, which the kernel finds */
        *r = epoll_pwait((int)a[0], (struct epoll_event *)a[1], (int)a[2], (int)a[3],
                         (const sigset_t *)a[4]);
        return true;
    case SYS_recvmmsg:
        *r = recvmmsg((int)a[0], (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3],
                      (struct timespec *)a[4]);
        return true;
    case SYS_semop:
        *r = semop((int)a[0], (struct sembuf *)a[1], (size_t)a[2]);
        return true;
    case SYS_semtimedop:
        *r = semtimedop((int)a[0], (struct sembuf *)a[1], (size_t)a[2],
                        (const struct timespec *)a[3]);
        return true;
    case SYS_msgsnd:
        *r = msgsnd((int)a[0], (const void *)a[1], (size_t)a[2], (int)a[3]);
        return true;
    case SYS_msgrcv:
        *r = msgrcv((int)a[0], (void *)a[1], (size_t)a[2], a[3], (int)a[4]);
        return true;
    case SYS_pause:
        *r = pause();
        return true;
    default:
        return false;
    }
}

/* Calls that no handler's SA_RESTART restarts: signal(7). */
static bool restartable(long nr)
{
    switch (nr) {
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_pwait2:
    case SYS_io_getevents:
        return false;
    default:
        return true;
    }
}

/* The calls whose relative timeout the kernel does not count down itself: which argument it is. */
static int timeout_argument(long nr)
{
    return nr == SYS_epoll_pwait2 ? 3 : nr == SYS_io_getevents ? 4 : -1;
}

static long kernels(struct fiber *self, long nr, const long a[6])
{
    int at = timeout_argument(nr);
    uint64_t start = at >= 0 ? timer_now() : 0;
    struct timespec left;
    long args[6] = { a[0], a[1], a[2], a[3], a[4], a[5] }, r;
    for (;;) {
        call_begins(self);
        r = fiber_call_through(self, nr, args[0], args[1], args[2], args[3], args[4], args[5]);
        /* restart_syscall answers EINTR to whoever calls it. */
        if (likely(r != -EINTR) || nr == SYS_restart_syscall ||
            !call_disturbed(self, restartable(nr)))
            return r;
        if (at >= 0 && a[at])
            args[at] = (long)timeout_left((const struct timespec *)a[at], start, &left);
    }
}

/* As deep interception answers it. -ENOSYS: it does not. */
static long by_table(struct fiber *self, long nr, const long a[6])
{
    if ((unsigned long)nr >= PATCH_NUMBERS || !deep_bodies[nr] || nr == SYS_futex ||
        (nr == SYS_fcntl && (int)a[1] != F_SETLKW && (int)a[1] != F_OFD_SETLKW))
        return -ENOSYS;
    struct deep_call c = { .nr = nr };
    memcpy(c.arg, a, sizeof c.arg);
    bool outer = cancel_inner_begin(self);
    long r = deep_bodies[nr](&c);
    cancel_inner_end(self, outer);
    return r;
}

long raw_call(struct fiber *self, long nr, const long a[6])
{
    long r;
    bool outer = cancel_inner_begin(self), done = by_function(nr, a, &r);
    cancel_inner_end(self, outer);
    if (done)
        return r;
    r = by_table(self, nr, a);
    if (r != -ENOSYS)
        return set_errno(r);
    /* Calls that change descriptors behind the table's back. */
    if (nr == SYS_fcntl || nr == SYS_ioctl || nr == SYS_dup || nr == SYS_dup2 || nr == SYS_dup3)
        fd_unshare(a[0] < 0 ? 0 : (int)a[0]);
    else if (nr == SYS_sendmmsg || nr == SYS_clone || nr == SYS_clone3 || nr == SYS_fork)
        fd_unshare(-1);
    handoff_enter(self);
    r = kernels(self, nr, a);
    handoff_leave(self);
    return set_errno(r);
}
