/* Signals: actions, masks, sending, waiting; conventions here, the work in lib/signal.
 *
 * Actions are ours from the constructor on, so that a handler set before there are threads is found
 * when there are. Masks and sending are libc's for threads that are no fibers. sigsuspend parks (and sigwait:
 * sigwait.c). Called on the program's stacks, and most of it in the program's signal handlers too. */
#include "shim/calls.h"

#include <string.h>
#include "arch/syscall.h"
#include "sync/waitq.h"

static uint64_t mask_of(const sigset_t *set)
{
    uint64_t mask;
    memcpy(&mask, set, sizeof mask);
    return mask;
}

static void mask_to(sigset_t *set, uint64_t mask)
{
    sigemptyset(set);
    memcpy(set, &mask, sizeof mask);
}

/* ---- actions ---- */

EXPORT int sigaction(int sig, const struct sigaction *action, struct sigaction *old)
{
    if (unlikely(!real.sigaction)) {
        real_resolve();
        signal_init(real.sigaction);
    }
    return signal_action(sig, action, old);
}

/* signal(3) depends on siginterrupt(3). */
static _Atomic uint64_t interrupting;

static sighandler_t set_handler(int sig, sighandler_t handler, int flags, bool block)
{
    struct sigaction a = { .sa_handler = handler, .sa_flags = flags }, old;
    if (handler == SIG_ERR || sig <= 0 || sig >= _NSIG) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (block)
        mask_to(&a.sa_mask, SIGNAL_BIT(sig));
    return sigaction(sig, &a, &old) < 0 ? SIG_ERR : old.sa_handler;
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
    bool interrupt = sig > 0 && sig < _NSIG && (load_relaxed(&interrupting) & SIGNAL_BIT(sig));
    return set_handler(sig, handler, interrupt ? 0 : SA_RESTART, true);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
    return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER, false);
}

EXPORT int siginterrupt(int sig, int interrupt)
{
    struct sigaction a;
    if (sigaction(sig, NULL, &a) < 0)
        return -1;
    if (interrupt) {
        atomic_fetch_or(&interrupting, SIGNAL_BIT(sig));
        a.sa_flags &= ~SA_RESTART;
    } else {
        atomic_fetch_and(&interrupting, ~SIGNAL_BIT(sig));
        a.sa_flags |= SA_RESTART;
    }
    return sigaction(sig, &a, NULL);
}

/* ---- masks and alternate stacks ---- */

static int change_mask(struct fiber *self, int how, const sigset_t *set, sigset_t *old)
{
    uint64_t before = signal_mask(self), now = before;
    if (set) {
        uint64_t bits = mask_of(set);
        switch (how) {
        case SIG_BLOCK:
            now |= bits;
            break;
        case SIG_UNBLOCK:
            now &= ~bits;
            break;
        case SIG_SETMASK:
            now = bits;
            break;
        default:
            return EINVAL;
        }
    }
    if (old)
        mask_to(old, before);
    if (set)
        signal_set_mask(self, now);
    return 0;
}

/* A bound thread's mask is the kernel's; idle workers take after the main thread's. */
static void note_mask(void)
{
    struct fiber *self = fiber_self;
    if (self && self == sched_main_fiber && load_relaxed(&self->flags) & FIBER_BOUND)
        sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &self->sigmask, 8);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    struct fiber *self = fiber_here();
    if (self)
        return change_mask(self, how, set, old);
    int err = REAL(pthread_sigmask)(how, set, old);
    note_mask();
    return err;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    struct fiber *self = fiber_here();
    if (self)
        return (int)set_errno(-change_mask(self, how, set, old));
    int r = REAL(sigprocmask)(how, set, old);
    note_mask();
    return r;
}

EXPORT int sigpending(sigset_t *set)
{
    struct fiber *self = fiber_here();
    int r = REAL(sigpending)(set);
    if (self && r == 0)
        mask_to(set, (mask_of(set) | load_relaxed(&self->pending)) & signal_mask(self));
    return r;
}

EXPORT int sigaltstack(const stack_t *stack, stack_t *old)
{
    struct fiber *self = fiber_here();
    int r = REAL(sigaltstack)(stack, old);
    if (self && stack && r == 0) {
        bool none = stack->ss_flags & SS_DISABLE;
        self->alt_sp = self->worker->alt_sp = none ? NULL : stack->ss_sp;
        self->alt_size = stack->ss_size;
        self->alt_flags = stack->ss_flags;
    }
    return r;
}

/* ---- sending ---- */

static long send_to(struct fiber *f, int sig, int code, union sigval value)
{
    if (sig == 32 || sig == 33)
        return -EINVAL;
    if (load_relaxed(&f->state) == FIBER_ENDED) /* nobody looks at the number either */
        return 0;
    if (sig < 0 || sig >= _NSIG)
        return -EINVAL;
    if (sig == 0)
        return 0;
    pid_t pid = (pid_t)sys_call(SYS_getpid);
    if (sig == SIGKILL || sig == SIGSTOP)
        return sys_call(SYS_kill, pid, sig);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    info.si_code = code;
    info.si_pid = pid;
    info.si_uid = (uid_t)sys_call(SYS_getuid);
    info.si_value = value;
    signal_excludes(sig);
    return signal_send(f, &info);
}

static const union sigval no_value;

EXPORT int pthread_kill(pthread_t thread, int sig)
{
    struct fiber *f = fiber_ours(thread);
    return f ? (int)-send_to(f, sig, SI_TKILL, no_value) : REAL(pthread_kill)(thread, sig);
}

EXPORT int pthread_sigqueue(pthread_t thread, int sig, const union sigval value)
{
    struct fiber *f = fiber_ours(thread);
    return f ? (int)-send_to(f, sig, SI_QUEUE, value) : REAL(pthread_sigqueue)(thread, sig, value);
}

long signal_tid(uint32_t tid, int sig)
{
    struct fiber *f = runtime_mode == RUNTIME_ACTIVE ? fiber_of_tid(tid) : NULL;
    /* The main fiber's tid is the kernel's too, of worker 0. */
    if (!f && sched_main_fiber && sched_main_fiber->tid == tid)
        f = sched_main_fiber;
    uint32_t flags = f ? load_relaxed(&f->flags) : FIBER_KERNEL;
    return flags & FIBER_BOUND || !(flags & FIBER_DIRECT) ? send_to(f, sig, SI_TKILL, no_value)
                                                          : -ENOSYS;
}

EXPORT int tgkill(pid_t pid, pid_t tid, int sig)
{
    long r = pid == (pid_t)sys_call(SYS_getpid) ? signal_tid((uint32_t)tid, sig) : -ENOSYS;
    return (int)set_errno(r == -ENOSYS ? sys_call(SYS_tgkill, pid, tid, sig) : r);
}

EXPORT int raise(int sig)
{
    struct fiber *self = fiber_here();
    return self ? (int)set_errno(send_to(self, sig, SI_TKILL, no_value)) : REAL(raise)(sig);
}

/* The kernel has an action that is not to ignore it. */
static bool is_default(int sig)
{
    struct sigaction now;
    return sig != SIGCHLD && sig != SIGCONT && sig != SIGURG && sig != SIGWINCH &&
           signal_action(sig, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

/* Whether the program catches the signal. */
static bool is_caught(int sig)
{
    struct sigaction a;
    return signal_action(sig, NULL, &a) == 0 &&
           ((a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN));
}

EXPORT int kill(pid_t pid, int sig)
{
    struct fiber *self = fiber_here();
    if (fiber_tid_is_ours((uint32_t)pid) && fiber_of_pid(pid))
        pid = (pid_t)sys_call(SYS_getpid); /* any thread's tid names its process */
    if (!self || sig <= 0 || sig >= _NSIG || sig == 32 || sig == 33 ||
        pid != (pid_t)sys_call(SYS_getpid))
        return REAL(kill)(pid, sig);
    signal_excludes(sig);
    /* The main thread gets its own signals before kill returns, wherever it runs; and what ends the process does
     * so: else another kernel thread may get it, and the main thread go on meanwhile. */
    if ((self == sched_main_fiber || is_default(sig)) && !(signal_mask(self) & SIGNAL_BIT(sig)))
        return (int)set_errno(send_to(self, sig, SI_USER, no_value));
    signal_mask(self);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    info.si_code = SI_USER;
    info.si_pid = pid;
    info.si_uid = (uid_t)sys_call(SYS_getuid);
    /* A thread that takes it has it when kill returns, parked or not. */
    return is_caught(sig) && signal_process(self, &info) ? 0 : REAL(kill)(pid, sig);
}

/* ---- waiting ---- */

static long nothing_ready(struct fiber *self, void *arg)
{
    (void)self;
    (void)arg;
    return 0;
}

static long suspend_wait(struct fiber *self, void *arg, uint64_t deadline)
{
    (void)arg;
    return fiber_sleep(self, deadline) ? -EINTR : -ETIME;
}

static long suspend_kernel(struct fiber *self, void *arg, const struct timespec *timeout,
                           const uint64_t *mask)
{
    (void)arg;
    (void)timeout;
    return fiber_call(self, SYS_rt_sigsuspend, mask, 8);
}

static int suspend(struct fiber *self, uint64_t mask)
{
    static const struct masked_call call = { nothing_ready, suspend_wait, suspend_kernel, false };
    return (int)set_errno(masked_wait(self, &call, NULL, mask, -1));
}

EXPORT int sigsuspend(const sigset_t *mask)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sigsuspend)(mask);
    return user_check(self, mask, 8) ? (int)set_errno(-EFAULT) : suspend(self, mask_of(mask));
}

/* The old forms: a mask in an int, or one signal less in the mask. */
EXPORT int __sigpause(int sig_or_mask, int is_sig)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || (is_sig && (sig_or_mask <= 0 || sig_or_mask > 64)))
        return REAL(__sigpause)(sig_or_mask, is_sig);
    uint64_t bits = (uint32_t)sig_or_mask;
    if (is_sig)
        bits = signal_mask(self) & ~SIGNAL_BIT(sig_or_mask);
    return suspend(self, bits);
}

/* The header gives the name to the other form. */
EXPORT int sigpause_mask(int mask) __asm__("sigpause");
int sigpause_mask(int mask)
{
    return __sigpause(mask, 0);
}

EXPORT int __xpg_sigpause(int sig)
{
    return __sigpause(sig, 1);
}

EXPORT int pause(void)
{
    struct fiber *self = fiber_at_cancel_point();
    return self ? suspend(self, signal_mask(self)) : REAL(pause)();
}

/* ---- for the system calls by number (signal_raw.c) ---- */

void signal_of_call(int sig)
{
    struct fiber *self = fiber_self;
    if (self && !(load_relaxed(&self->flags) & FIBER_DIRECT))
        signal_adopt(self, sig);
}

long signal_mask_call(struct fiber *self, int how, const uint64_t *set, uint64_t *old)
{
    sigset_t now, before;
    if (set)
        mask_to(&now, *set);
    int err = change_mask(self, how, set ? &now : NULL, &before);
    if (!err && old)
        *old = mask_of(&before);
    return -err;
}

long signal_tid_info(uint32_t tid, const siginfo_t *info)
{
    struct fiber *f = fiber_of_tid(tid);
    if (!f && sched_main_fiber && sched_main_fiber->tid == tid)
        f = sched_main_fiber;
    uint32_t flags = f ? load_relaxed(&f->flags) : FIBER_KERNEL;
    return flags & FIBER_BOUND || !(flags & FIBER_DIRECT) ? signal_send(f, info) : -ENOSYS;
}

/* No cancellation point, unlike libc's functions. */
void signal_suspend_call(struct fiber *self, const void *mask)
{
    bool outer = cancel_inner_begin(self);
    suspend(self, mask_of(mask));
    cancel_inner_end(self, outer);
}
