/* System calls about signals, made by their number through syscall(2): the kernel's masks, actions and
 * pending signals are its thread's, the program means those of its own. Structures and results are the
 * kernel's. Called on the program's stacks. */
#include "shim/calls.h"

#include <string.h>
#include "arch/syscall.h"

struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

#define KERNEL_SA_RESTORER 0x04000000

static long result(int r)
{
    return r < 0 ? -errno : r;
}

static long call_sigaction(int sig, const struct kernel_action *new, struct kernel_action *old,
                           size_t size)
{
    struct sigaction a, before;
    if (size != 8 || sig == 32 || sig == 33)
        return -EINVAL;
    if ((new &&user_probe(new, sizeof *new)) || (old && user_probe(old, sizeof *old)))
        return -EFAULT;
    if (new) {
        memset(&a, 0, sizeof a);
        a.sa_handler = (sighandler_t) new->handler;
        a.sa_flags = (int)(new->flags & ~(unsigned long)KERNEL_SA_RESTORER);
        memcpy(&a.sa_mask, &new->mask, sizeof new->mask);
    }
    if (signal_action(sig, new ? &a : NULL, &before) < 0)
        return -errno;
    if (old) {
        *old = (struct kernel_action){ .handler = (void *)before.sa_handler,
                                       .flags = (unsigned)before.sa_flags };
        memcpy(&old->mask, &before.sa_mask, sizeof old->mask);
    }
    return 0;
}

static bool is_us(long pid)
{
    return (pid_t)pid == (pid_t)sys_call(SYS_getpid);
}

static long call_queue(long pid, long tid, int sig, const siginfo_t *info)
{
    if (!is_us(pid) || tid <= 0)
        return -ENOSYS;
    if (sig <= 0 || sig >= _NSIG || sig == 32 || sig == 33 || sig == SIGKILL || sig == SIGSTOP)
        return -ENOSYS; /* the kernel knows what to say */
    if (user_probe(info, sizeof *info))
        return -EFAULT;
    siginfo_t copy = *info;
    copy.si_signo = sig;
    return signal_tid_info((uint32_t)tid, &copy);
}

long signal_call(long nr, const long *a)
{
    struct fiber *self;
    int saved = errno;
    long r;
    switch (nr) {
    case SYS_rt_sigaction: /* the actions are ours before there are threads, too */
        r = call_sigaction((int)a[0], (void *)a[1], (void *)a[2], (size_t)a[3]);
        break;
    case SYS_tgkill:
        r = is_us(a[0]) && (int)a[1] > 0 ? signal_tid((uint32_t)a[1], (int)a[2]) : -ENOSYS;
        break;
    case SYS_tkill:
        r = (int)a[0] > 0 ? signal_tid((uint32_t)a[0], (int)a[1]) : -ENOSYS;
        break;
    case SYS_rt_tgsigqueueinfo:
        r = call_queue(a[0], (int)a[1], (int)a[2], (void *)a[3]);
        break;
    case SYS_kill:
        r = is_us(a[0]) ? result(kill((pid_t)a[0], (int)a[1])) : -ENOSYS;
        break;
    case SYS_sigaltstack:
        r = result(sigaltstack((void *)a[0], (void *)a[1]));
        break;
    case SYS_rt_sigprocmask:
        self = fiber_here();
        r = !self       ? -ENOSYS
            : a[3] != 8 ? -EINVAL
            : (a[1] && user_probe((void *)a[1], 8)) || (a[2] && user_probe((void *)a[2], 8))
                ? -EFAULT
                : signal_mask_call(self, (int)a[0], (void *)a[1], (void *)a[2]);
        break;
    case SYS_rt_sigpending: {
        sigset_t set;
        if (!fiber_here())
            return -ENOSYS;
        r = (size_t)a[1] > 8                         ? -EINVAL
            : user_probe((void *)a[0], (size_t)a[1]) ? -EFAULT
                                                     : result(sigpending(&set));
        if (!r)
            memcpy((void *)a[0], &set, (size_t)a[1]);
        break;
    }
    case SYS_rt_sigtimedwait:
        self = fiber_here();
        r = !self       ? -ENOSYS
            : a[3] != 8 ? -EINVAL
                        : signal_wait_call(self, (void *)a[0], (void *)a[1], (void *)a[2]);
        break;
    case SYS_rt_sigsuspend:
        self = fiber_here();
        if (!self)
            return -ENOSYS;
        if (a[1] == 8 && user_probe((void *)a[0], 8))
            return -EFAULT;
        if (a[1] == 8)
            signal_suspend_call(self, (void *)a[0]);
        r = a[1] == 8 ? -EINTR : -EINVAL;
        break;
    default:
        return -ENOSYS;
    }
    errno = saved;
    return r;
}
