/* The older names for masks and actions (sigset(3), sigvec-time sigblock(3)), on top of the newer ones:
 * libc's would change the kernel thread's mask, and actions behind our table. Called on the program's
 * stacks. */
#include "shim/calls.h"

#include <string.h>

static int change(int how, uint64_t bits, uint64_t *old)
{
    sigset_t set, before;
    sigemptyset(&set);
    memcpy(&set, &bits, sizeof bits);
    if (sigprocmask(how, &set, &before) < 0)
        return -1;
    memcpy(old, &before, sizeof *old);
    return 0;
}

static int change_int(int how, int mask)
{
    uint64_t old;
    /* An int has 32 signals: those above are let be, or through. */
    return change(how, (uint32_t)mask, &old) < 0 ? -1 : (int)(uint32_t)old;
}

EXPORT int sigblock(int mask)
{
    return change_int(SIG_BLOCK, mask);
}

EXPORT int sigsetmask(int mask)
{
    return change_int(SIG_SETMASK, mask);
}

EXPORT int siggetmask(void)
{
    return change_int(SIG_BLOCK, 0);
}

static bool is_signal(int sig)
{
    if (sig > 0 && sig < _NSIG && sig != 32 && sig != 33)
        return true;
    errno = EINVAL;
    return false;
}

EXPORT int sighold(int sig)
{
    uint64_t old;
    return is_signal(sig) ? change(SIG_BLOCK, SIGNAL_BIT(sig), &old) : -1;
}

EXPORT int sigrelse(int sig)
{
    uint64_t old;
    return is_signal(sig) ? change(SIG_UNBLOCK, SIGNAL_BIT(sig), &old) : -1;
}

EXPORT int sigignore(int sig)
{
    struct sigaction a = { .sa_handler = SIG_IGN };
    return sigaction(sig, &a, NULL);
}

EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
    struct sigaction a = { .sa_handler = handler }, before;
    uint64_t old;
    if (handler == SIG_ERR || !is_signal(sig)) {
        errno = EINVAL;
        return SIG_ERR;
    }
    bool hold = handler == SIG_HOLD;
    /* The action first: what was held comes to the new handler. */
    if (sigaction(sig, hold ? NULL : &a, &before) < 0 ||
        change(hold ? SIG_BLOCK : SIG_UNBLOCK, SIGNAL_BIT(sig), &old) < 0)
        return SIG_ERR;
    return old & SIGNAL_BIT(sig) ? SIG_HOLD : before.sa_handler;
}
