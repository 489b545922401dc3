/* What tells parked fibers in sigwait and its kin that a signal is pending for the process.
 *
 * A signal that every thread blocks stays in the kernel until somebody takes it, and the kernel tells of it by a
 * signalfd: nothing is read from that, it is only waited for on the poller, like any descriptor. Whoever is
 * woken takes the signal with rt_sigtimedwait(2) and a timeout of nothing; so one waiter has it, in the kernel's order, with
 * the siginfo as it was sent, and the others wait on.
 *
 * Invariants: there is one descriptor for each set that is waited for, shared by all who wait for the same, and
 * at most SETS; they stay open, for a handler may leave a wait by longjmp. They are high numbers, to leave the
 * low ones to the program. One that the program closes all the same is forgotten before (signal_await_closing).
 *
 * Called on fibers' stacks outside the runtime. */
#include <fcntl.h>
#include <sys/resource.h>
#include "arch/syscall.h"
#include "poller/poller.h"
#include "signal/await.h"

#define SETS     8u
#define NONBLOCK O_NONBLOCK /* SFD_ flags are the O_ flags */

static struct lock lock;
static struct {
    uint64_t set;
    _Atomic int fd; /* number + 1; 0: free */
} known[SETS];
static _Atomic uint32_t count; /* ever used: most programs close without looking */

static int high_signalfd(uint64_t set)
{
    struct rlimit limit = { 0, 0 };
    int fd = (int)sys_call(SYS_signalfd4, -1, &set, 8, O_CLOEXEC | NONBLOCK);
    if (fd < 0)
        return fd;
    getrlimit(RLIMIT_NOFILE, &limit);
    int high = (int)sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit.rlim_cur / 2);
    if (high >= 0) {
        sys_call(SYS_close, fd);
        fd = high;
    }
    fd_forget(fd);
    fd_classify(fd); /* known: close_range tells of it */
    return fd;
}

int signal_await_fd(struct fiber *self, uint64_t set)
{
    int fd = -1;
    unsigned at = SETS;
    runtime_enter(self);
    lock_acquire(&lock);
    for (unsigned i = 0; i < SETS && fd < 0; i++) {
        int there = load_relaxed(&known[i].fd);
        if (!there)
            at = i;
        else if (known[i].set == set)
            fd = there - 1;
    }
    if (fd < 0 && at < SETS && (fd = high_signalfd(set)) >= 0) {
        known[at].set = set;
        store_relaxed(&count, SETS);
        store_release(&known[at].fd, fd + 1); /* partner: signal_await_closing */
    }
    lock_release(&lock);
    runtime_leave(self);
    return fd;
}

void signal_await_closing(int fd)
{
    for (unsigned i = 0; i < load_relaxed(&count); i++) {
        int there = fd + 1;
        cas_release(&known[i].fd, &there, 0);
    }
}

void signal_await_after_fork(void)
{
    lock_init(&lock);
    for (unsigned i = 0; i < load_relaxed(&count); i++) {
        int fd = load_relaxed(&known[i].fd) - 1;
        if (fd >= 0)
            sys_call(SYS_close, fd);
        store_relaxed(&known[i].fd, 0);
    }
}
