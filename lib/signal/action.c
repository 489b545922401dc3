/* The program's signal actions.
 *
 * Invariants: the kernel has signal_arrived for every signal whose handler the program set, with the
 * program's mask and flags plus SA_SIGINFO; SIG_DFL and SIG_IGN are the kernel's own. The table's
 * entry is set before the kernel's and not cleared after, so signal_arrived always finds a handler.
 * Handlers are called with three arguments whatever their kind: the ABI lets them ignore two.
 * SA_RESETHAND is not the kernel's business: what arrives may be put off, be for another thread, or stand
 * for a note, and the action is the default only from when the handler runs (signal_claim).
 *
 * Called on the program's stacks and, reading, in signal handlers. A vfork child never writes here:
 * the memory is its parent's. */
#include <errno.h>
#include <string.h>
#include "arch/syscall.h"
#include "signal/signal.h"

#define IGNORED_BY_DEFAULT                                                                         \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))

static struct entry {
    _Atomic(signal_handler *) handler;
    _Atomic int flags;
    _Atomic uint64_t mask;
} table[_NSIG];
static struct lock lock;
static int (*real)(int, const struct sigaction *, struct sigaction *);

void signal_init(int (*real_sigaction)(int, const struct sigaction *, struct sigaction *))
{
    real = real_sigaction;
}

static signal_handler *handler_of(int sig, int *flags)
{
    *flags = load_relaxed(&table[sig].flags);
    return load_acquire(&table[sig].handler); /* partner: set */
}

bool signal_has_handler(int sig)
{
    return load_relaxed(&table[sig].handler);
}

static bool is_handler(const struct sigaction *a)
{
    return (a->sa_flags & SA_SIGINFO) || (a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN);
}

static struct sigaction get(int sig)
{
    struct sigaction a;
    uint64_t mask = load_relaxed(&table[sig].mask);
    memset(&a, 0, sizeof a);
    a.sa_sigaction = load_relaxed(&table[sig].handler);
    a.sa_flags = load_relaxed(&table[sig].flags);
    memcpy(&a.sa_mask, &mask, sizeof mask);
    return a;
}

static void set(int sig, const struct sigaction *a)
{
    uint64_t mask;
    memcpy(&mask, &a->sa_mask, sizeof mask);
    store_relaxed(&table[sig].flags, a->sa_flags);
    store_relaxed(&table[sig].mask, mask);
    store_release(&table[sig].handler, a->sa_sigaction);
}

int signal_action(int sig, const struct sigaction *action, struct sigaction *old)
{
    struct fiber *self = fiber_self;
    if (sig <= 0 || sig >= _NSIG || (self && load_relaxed(&self->flags) & FIBER_VFORK))
        return real(sig, action, old);
    struct sigaction before, ours, kernel;
    bool ignores = action && !is_handler(action) &&
                   (action->sa_handler == SIG_IGN || IGNORED_BY_DEFAULT & SIGNAL_BIT(sig));
    /* sigaction may be called by handlers: nothing may interrupt the section. */
    uint64_t all = ~0ull, mask;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    lock_acquire(&lock);
    before = get(sig);
    if (action && is_handler(action)) {
        ours = *action;
        ours.sa_sigaction = signal_arrived;
        ours.sa_flags = (ours.sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
        set(sig, action);
        action = &ours;
    }
    int r = real(sig, action, &kernel);
    if (r && action)
        set(sig, &before);
    lock_release(&lock);
    if (ignores && r == 0)
        signal_ignored(sig);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    if (r == 0 && old) {
        *old = kernel;
        if (kernel.sa_sigaction == signal_arrived) {
            old->sa_sigaction = before.sa_sigaction;
            old->sa_flags = before.sa_flags;
        }
    }
    return r;
}

struct kernel_action {
    signal_handler *handler;
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* Somebody else has run the handler that was to run once: the action is the kernel's now. */
static void default_action(int sig, siginfo_t *info, void *context)
{
    (void)context;
    sys_call(SYS_rt_tgsigqueueinfo, sys_call(SYS_getpid), sys_call(SYS_gettid), sig, info);
}

signal_handler *signal_claim(int sig, int *flags)
{
    signal_handler *handler = handler_of(sig, flags);
    if (likely(!(*flags & (int)SA_RESETHAND)))
        return handler;
    struct kernel_action kernel;
    uint64_t all = ~0ull, mask;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    lock_acquire(&lock);
    handler = handler_of(sig, flags); /* there may be a new one since */
    sys_call(SYS_rt_sigaction, sig, NULL, &kernel, 8);
    if (kernel.handler != signal_arrived) {
        handler = default_action;
    } else if (*flags & (int)SA_RESETHAND) {
        kernel.handler = NULL; /* SIG_DFL */
        kernel.flags |= SA_RESETHAND;
        if (!(*flags & SA_SIGINFO))
            kernel.flags &= ~(unsigned long)SA_SIGINFO;
        sys_call(SYS_rt_sigaction, sig, &kernel, NULL, 8);
    }
    lock_release(&lock);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    return handler;
}
