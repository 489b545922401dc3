/* What the table (calls.def) yields to the bodies: libc's functions, names, and who is calling. */
#ifndef SHIM_CALLS_H
#define SHIM_CALLS_H

#include <errno.h>
#include <aio.h>
#include <grp.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pty.h>
#include <pwd.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/file.h>
#include "handoff/handoff.h"
#include "signal/signal.h"
#include "thread/thread.h"

#define EXPORT __attribute__((visibility("default")))

#define TYPES0()          void
#define TYPES1(t, a)      t
#define TYPES2(t, a, ...) t, TYPES1(__VA_ARGS__)
#define TYPES3(t, a, ...) t, TYPES2(__VA_ARGS__)
#define TYPES4(t, a, ...) t, TYPES3(__VA_ARGS__)
#define TYPES5(t, a, ...) t, TYPES4(__VA_ARGS__)
#define TYPES6(t, a, ...) t, TYPES5(__VA_ARGS__)
#define TYPES7(t, a, ...) t, TYPES6(__VA_ARGS__)
#define TYPES8(t, a, ...) t, TYPES7(__VA_ARGS__)

/* libc's functions, resolved in the constructor, or by the first call that comes before it. */
struct real {
#define CALL(class, ret, name, n, ...) ret (*name)(TYPES##n(__VA_ARGS__));
#include "calls.def"
};
extern struct real real;
void real_resolve(void);
/* Symbol look-up finds libc before us: nothing of the program's reaches us by itself. */
extern bool real_behind_libc;
/* pthread_create of this library, whichever one the name means. */
int thread_create_here(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *),
                       void *arg);
#define REAL(name) (unlikely(!real.name) ? (real_resolve(), real.name) : real.name)

enum call_id {
#define CALL(class, ret, name, ...) CALL_##name,
#include "calls.def"
    CALL_COUNT
};
extern const char *const call_names[CALL_COUNT];
/* Calls that went through to libc and may have blocked a kernel thread. */
extern _Atomic uint64_t call_passed[CALL_COUNT];

/* The calling fiber if this call is ours to handle; NULL: it goes to libc. */
static inline struct fiber *fiber_here(void)
{
    struct fiber *f = fiber_self;
    if (unlikely(!f || load_relaxed(&f->flags) & (FIBER_DIRECT | FIBER_CHAOS))) {
        if (!f || load_relaxed(&f->flags) & FIBER_DIRECT)
            return NULL;
        chaos_call(f);
    }
    return f;
}

/* The fiber of ours that thread names, or NULL. */
static inline struct fiber *fiber_ours(pthread_t thread)
{
    struct fiber *f = runtime_mode == RUNTIME_ACTIVE ? fiber_of(thread) : NULL;
    uint32_t flags = f ? load_relaxed(&f->flags) : FIBER_KERNEL;
    return flags & FIBER_BOUND || !(flags & FIBER_KERNEL) ? f : NULL;
}

/* The same for a function that is a cancellation point; does not return if the thread is cancelled. */
static inline struct fiber *fiber_at_cancel_point(void)
{
    struct fiber *f = fiber_here();
    if (f && unlikely(cancel_pending(f)))
        cancel_point(f);
    return f;
}

/* The same for a wait that is ours on every thread. */
static inline void waiter_at_cancel_point(void)
{
    if (unlikely(!fiber_at_cancel_point()))
        cancel_point_kernel();
}

/* After a wait of the runtime's was interrupted: whether to wait on. */
static inline bool wait_goes_on(struct fiber *self, bool restartable)
{
    cancel_point(self);
    return restart_wait(self, restartable);
}

/* A wait of the runtime's (-EINTR: it was interrupted) as the program sees it: signal(7) tells which
 * calls are restarted after a handler with SA_RESTART. */
#define RESTART(self, restartable, call)                                                           \
    ({                                                                                             \
        long outcome_;                                                                             \
        do                                                                                         \
            outcome_ = (call);                                                                     \
        while (unlikely(outcome_ == -EINTR) && wait_goes_on(self, restartable));                   \
        outcome_;                                                                                  \
    })

/* The same in the middle of a transfer: nothing is restarted after a handler, and a cancelled thread
 * first learns what was transferred. -EINTR in both cases. */
#define RESTART_PART(self, call)                                                                   \
    ({                                                                                             \
        long outcome_;                                                                             \
        do                                                                                         \
            outcome_ = (call);                                                                     \
        while (unlikely(outcome_ == -EINTR) && !cancel_pending(self) &&                            \
               wait_goes_on(self, false));                                                         \
        outcome_;                                                                                  \
    })

/* A system call of ours between handoff_enter and handoff_leave, as RESTART. */
#define CALL_RESTART(self, restartable, ...)                                                       \
    RESTART(self, restartable, fiber_call(self, __VA_ARGS__))

/* A call of libc's or the kernel's that knows nothing of us ends with EINTR when any signal comes, also one that
 * was not for this thread, or only a message of the runtime's. Such an end is none of the program's
 * business: call_begins before, and if call_disturbed after EINTR, again. */
static inline void call_begins(struct fiber *self)
{
    self->handled = 0;
    self->disturbed = false;
}
static inline bool call_disturbed(struct fiber *self, bool restartable)
{
    uint8_t ends = HANDLED_EINTR | (restartable ? 0 : HANDLED_RESTART);
    return self->disturbed && !(self->handled & ends);
}
/* For results of the kernel's kind. */
#define CALL_UNDISTURBED(self, restartable, call)                                                  \
    ({                                                                                             \
        long outcome_;                                                                             \
        do {                                                                                       \
            call_begins(self);                                                                     \
            outcome_ = (call);                                                                     \
        } while (unlikely(outcome_ == -EINTR) && call_disturbed(self, restartable));               \
        outcome_;                                                                                  \
    })
/* For libc's functions; the system call restarts after a handler with SA_RESTART. */
#define UNDISTURBED(self, call)                                                                    \
    ({                                                                                             \
        __typeof__(call) outcome_;                                                                 \
        do {                                                                                       \
            call_begins(self);                                                                     \
            outcome_ = (call);                                                                     \
        } while (unlikely((long)outcome_ == -1) && errno == EINTR && call_disturbed(self, true));  \
        outcome_;                                                                                  \
    })

/* What is left of a timeout that began at start (ns). To be read after the kernel has read it: it may be no
 * pointer. */
static inline struct timespec *timeout_left(const struct timespec *whole, uint64_t start,
                                            struct timespec *left)
{
    int64_t gone = (int64_t)(timer_now() - start);
    left->tv_sec = whole->tv_sec - gone / (int64_t)NSEC_PER_SEC;
    left->tv_nsec = whole->tv_nsec - gone % (int64_t)NSEC_PER_SEC;
    if (left->tv_nsec < 0) {
        left->tv_nsec += (long)NSEC_PER_SEC;
        left->tv_sec--;
    }
    if (left->tv_sec < 0)
        *left = (struct timespec){ 0 };
    return left;
}

/* The same for a call that is not a cancellation point. */
static inline bool wait_goes_on_uncancelled(struct fiber *self, bool restartable)
{
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_CANCEL, memory_order_relaxed);
    return restart_wait(self, restartable);
}

/* In a wait that must not unwind yet: whether cancellation ends it. */
static inline bool cancel_during(struct fiber *self)
{
    atomic_fetch_and_explicit(&self->attention, ~ATTENTION_CANCEL, memory_order_relaxed);
    return cancel_pending(self);
}

/* fifo.c: open(2) of what may be a FIFO. -ENOSYS: no need to be careful. */
long fifo_open(struct fiber *self, int dir, const char *path, int flags, mode_t mode);

/* user.c: -EFAULT if one of the n bytes at p cannot be read, else 0. */
long user_probe(const void *p, size_t n);
/* The same, for which nothing is asked about the thread's own stack. */
static inline long user_check(const struct fiber *self, const void *p, size_t n)
{
    uintptr_t above = (uintptr_t)p - (uintptr_t)__builtin_frame_address(0);
    size_t at = (size_t)((uintptr_t)p - (uintptr_t)self->stack.base);
    size_t size = (size_t)(self->stack.top - self->stack.base);
    if (likely((above < 4096 || at < size) && n < 1024 && (above < 4096 || n <= size - at)))
        return 0;
    return user_probe(p, n);
}

/* A wait with a signal mask of its own (shim/masked.c). */
struct masked_call {
    /* The call without waiting; 0: nothing is ready. */
    long (*look)(struct fiber *self, void *arg);
    /* Until it may be ready: -ETIME at the deadline, -EOPNOTSUPP: it takes the kernel's call. */
    long (*wait)(struct fiber *self, void *arg, uint64_t deadline);
    /* The kernel's call; timeout NULL: for ever. */
    long (*kernel)(struct fiber *self, void *arg, const struct timespec *timeout,
                   const uint64_t *mask);
    bool timeout_first; /* when the time is over, a pending signal is none of its business */
};
/* ns < 0: for ever. Result of the kernel's kind. */
long masked_wait(struct fiber *self, const struct masked_call *c, void *arg, uint64_t mask,
                 int64_t ns);
/* The fiber that a pid or tid argument names: 0 is the caller; NULL: the kernel's to find. */
struct fiber *fiber_of_pid(pid_t pid);
/* System calls that name a thread, or change the calling one (sched.c), or a CPU clock (cputime.c):
 * the result, -errno, or -ENOSYS: the kernel's to do. */
long sched_syscall(long nr, const long a[6]);
long cpu_clock_syscall(long nr, const long a[6]);
/* clock_nanosleep on a clock that is no fiber's timer; a positive error code. */
int cpu_clock_sleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left);
void cpu_timers_after_fork(void);
/* After an open: fd or what else the kernel answered; opens the file of the right thread if it is one of
 * /proc that belongs to a thread (procfs.c). Only if fd >= 0 or -ENOENT, when the path is known to be one. */
long proc_open(int dir, const char *path, int flags, mode_t mode, long fd);
/* Has the kernel thread of f, which is bound, show its name; false: it has none any more. */
bool thread_show_name(struct fiber *f);
/* tgkill(2) for a tid that is ours; -ENOSYS: it is the kernel's. */
long signal_tid(uint32_t tid, int sig);
/* System calls about signals, called by their number; -ENOSYS: not ours. */
long signal_call(long nr, const long *args);
/* shim/signal.c, for those. */
long signal_mask_call(struct fiber *self, int how, const uint64_t *set, uint64_t *old);
long signal_tid_info(uint32_t tid, const siginfo_t *info);
long signal_wait_call(struct fiber *self, const void *set, siginfo_t *info,
                      const struct timespec *timeout);
void signal_suspend_call(struct fiber *self, const void *mask);

/* syscall(2) of a fiber; result and errno as its own. */
long raw_call(struct fiber *self, long nr, const long a[6]);

/* A system call of the futex family (shim/futex.c). Result of the kernel's kind; -ENOSYS: not ours, the
 * kernel shall do it; CALL_REFUSED: it must not, and the program gets ENOSYS. */
#define CALL_REFUSED (-4096L)
long futex_call(long nr, const long *args);

/* A call failed with which a signal for the calling thread comes: if it is blocked, it stays pending for the
 * fiber, not for the kernel thread. */
void signal_of_call(int sig);

/* Result of the kernel's kind to result of libc's kind. */
static inline long set_errno(long r)
{
    if (unlikely(r < 0)) {
        if (r == -EPIPE || r == -EFBIG)
            signal_of_call(r == -EPIPE ? SIGPIPE : SIGXFSZ);
        errno = (int)-r;
        return -1;
    }
    return r;
}

/* Descriptors: shim/fdio.c and shim/socket.c share these. Results are the kernel's kind. */
ssize_t socket_recv(struct fiber *self, int fd, void *buf, size_t n, int flags);
ssize_t socket_send(struct fiber *self, int fd, const void *buf, size_t n, int flags,
                    const struct sockaddr *addr, socklen_t len);
ssize_t socket_recvmsg(struct fiber *self, int fd, struct msghdr *msg, int flags);
ssize_t socket_sendmsg(struct fiber *self, int fd, const struct msghdr *msg, int flags);

/* Sleeps until deadline (ns of CLOCK_MONOTONIC); true: ended early by fiber_interrupt. */
bool fiber_sleep(struct fiber *self, uint64_t deadline);

/* Counters to stderr. */
void stats_print(void);

#endif
