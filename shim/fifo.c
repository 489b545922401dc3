/* Opening a FIFO, which waits for the other side.
 *
 * The waiting itself is the kernel's: who waits for a reader counts as a writer to others, and there is no
 * way to be one without waiting, nor an event when somebody opens the other side. So it takes a kernel thread
 * each, as natively. That thread is had before the worker would block, so that no number of such opens keeps
 * other fibers from running, one of which may be the other side. If there is none any more (RADDLE_MAX_WORKERS, the
 * system's limits), the fiber looks again and again: as a reader it is one from the start, which open with
 * O_NONBLOCK allows; as a writer it becomes one when there is a reader.
 *
 * Only when there are more workers than procs and the one in reserve, so some have blocked, or when no more can
 * be had, does an open ask whether it is a FIFO.
 * Called on the program's stacks, outside the runtime. */
#include "shim/calls.h"

#include <poll.h>
#include <sys/stat.h>
#include "arch/syscall.h"
#include "poller/poller.h"

#define FIRST_NAP (NSEC_PER_MSEC / 2)
#define LAST_NAP  (16 * NSEC_PER_MSEC)
#define NOWHERE   1l /* an address that is none */

/* False: the call ends with EINTR, or by cancellation. */
static bool nap(struct fiber *self, uint64_t *ns)
{
    bool early = fiber_sleep(self, timer_now() + *ns);
    *ns = *ns < LAST_NAP ? 2 * *ns : *ns;
    return !early || (!cancel_during(self) && restart_wait(self, true));
}

/* Whether a writer is there, or was since we opened it. Reading nowhere takes nothing away: no writer is the
 * end of the file, a writer without data EAGAIN, data EFAULT. */
static bool has_writer(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return sys_call(SYS_read, fd, NOWHERE, 1) != 0 || sys_call(SYS_poll, &p, 1, 0) > 0;
}

static long look_again(struct fiber *self, int dir, const char *path, int flags, mode_t mode)
{
    uint64_t ns = FIRST_NAP;
    long fd;
    while ((fd = sys_call(SYS_openat, dir, path, flags | O_NONBLOCK | O_CLOEXEC, mode)) == -ENXIO)
        if (!nap(self, &ns))
            return -EINTR;
    if (fd < 0)
        return fd;
    while ((flags & O_ACCMODE) == O_RDONLY && !has_writer((int)fd))
        if (!nap(self, &ns)) {
            sys_call(SYS_close, fd);
            return -EINTR;
        }
    sys_call(SYS_fcntl, fd, F_SETFL, sys_call(SYS_fcntl, fd, F_GETFL) & ~O_NONBLOCK);
    if (!(flags & O_CLOEXEC))
        sys_call(SYS_fcntl, fd, F_SETFD, 0);
    return fd;
}

static bool none_has_blocked(void)
{
    uint32_t n = load_relaxed(&sched.nworkers);
    return n <= load_relaxed(&sched.nprocs) + 1 && n < sched.max_workers;
}

long fifo_open(struct fiber *self, int dir, const char *path, int flags, mode_t mode)
{
    int access = flags & O_ACCMODE;
    struct stat st;
    if (likely(none_has_blocked()) || (access != O_RDONLY && access != O_WRONLY) ||
        flags & (O_NONBLOCK | O_PATH | O_DIRECTORY) ||
        sys_call(SYS_newfstatat, dir, path, &st, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) ||
        !S_ISFIFO(st.st_mode))
        return -ENOSYS;
    /* The last threads are the procs', whose workers may have been blocked before we looked. */
    bool alone = false;
    long fd = -ENOSYS;
    if (load_relaxed(&sched.nworkers) + load_relaxed(&sched.nprocs) + 1 < sched.max_workers) {
        handoff_move_enter(self);
        alone = self->worker->blocker;
        if (alone)
            fd = CALL_RESTART(self, true, SYS_openat, dir, path, flags, mode);
        handoff_block_leave(self);
    }
    if (!alone) {
        fd = look_again(self, dir, path, flags, mode);
        if (fd == -EINTR)
            cancel_point(self);
    }
    return fd;
}
