/* What is known about descriptors: kind, whether data is likely, requests not yet submitted.
 *
 * Invariants: everything here but the unsubmitted count is a hint; the system call that follows is
 * the judge (a socket call on something else answers ENOTSOCK, and the hint is dropped). O_NONBLOCK
 * is asked for each time before a fiber waits, because any process that shares the description may
 * change it; except for connections that we accepted and that nobody shares (FD_BLOCKING), which
 * lose that mark when they are duplicated, passed on, changed, or a process is made. The same holds for
 * files that open() gave (FD_PRIVATE): as long as they have the mark, whoever holds fd_info.position is
 * the only one to move the file position; that lets a transfer that takes several steps be one.
 * The table is address space for 2^20 descriptors, committed as they are used.
 *
 * Called by fibers, outside the runtime. */
#include "poller/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include "arch/syscall.h"

struct fd_info *fd_table;
static _Atomic uint32_t highest; /* descriptor that may have FD_BLOCKING */
const struct poller_backend *poller;

int fd_table_start(void)
{
    size_t size = FD_TABLE_SIZE * sizeof *fd_table;
    if (fd_table) {
        madvise(fd_table, size, MADV_DONTNEED); /* a fork's child starts over */
        return 0;
    }
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    fd_table = p;
    return 0;
}

static bool has_timeout(int fd, int option)
{
    struct timeval tv = { 0, 0 };
    socklen_t len = sizeof tv;
    return sys_call(SYS_getsockopt, fd, SOL_SOCKET, option, &tv, &len) == 0 &&
           (tv.tv_sec || tv.tv_usec);
}

enum fd_kind fd_classify(int fd)
{
    struct fd_info *info = fd_info(fd);
    enum fd_kind kind = info ? load_relaxed(&info->kind) : FD_UNKNOWN;
    if (likely(kind != FD_UNKNOWN))
        return kind;
    struct stat st;
    if (sys_call(SYS_fstat, fd, &st))
        return FD_UNKNOWN;
    uint8_t hints = FD_LIKELY;
    if (S_ISSOCK(st.st_mode)) {
        kind = FD_SOCKET;
        if (has_timeout(fd, SO_RCVTIMEO) || has_timeout(fd, SO_SNDTIMEO))
            hints |= FD_TIMEOUT;
    } else if (S_ISFIFO(st.st_mode)) {
        kind = FD_PIPE;
    } else if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode)) {
        kind = FD_FILE;
        long flags = sys_call(SYS_fcntl, fd, F_GETFL);
        if (S_ISREG(st.st_mode) && flags >= 0) {
            hints |= (flags & O_DIRECT ? FD_DIRECT : 0) | (flags & O_DSYNC ? FD_SYNC : 0);
            hints |= info ? load_relaxed(&info->hints) & FD_PRIVATE : 0;
        }
    } else {
        kind = FD_OTHER;
    }
    if (info) {
        store_relaxed(&info->hints, hints);
        store_relaxed(&info->kind, (uint8_t)kind);
    }
    return kind;
}

void fd_forget(int fd)
{
    struct fd_info *info = fd_table ? fd_info(fd) : NULL;
    if (info && (load_relaxed(&info->kind) != FD_UNKNOWN || load_relaxed(&info->hints))) {
        store_relaxed(&info->kind, FD_UNKNOWN);
        store_relaxed(&info->hints, 0);
    }
}

/* A socket timeout was set: the descriptor may have duplicates, so all sockets are looked at anew. */
void fd_forget_timeouts(void)
{
    if (!fd_table)
        return;
    for (int fd = 0, gap = 0; fd < FD_TABLE_SIZE && gap < 65536; fd++) {
        bool known = load_relaxed(&fd_table[fd].kind) != FD_UNKNOWN;
        gap = known ? 0 : gap + 1;
        if (known)
            store_relaxed(&fd_table[fd].kind, FD_UNKNOWN);
    }
}

static void note_highest(int fd)
{
    uint32_t most = load_relaxed(&highest);
    while ((uint32_t)fd > most && !cas_release(&highest, &most, (uint32_t)fd))
        ;
}

void fd_opened(int fd)
{
    struct fd_info *info = fd_table ? fd_info(fd) : NULL;
    if (!info)
        return;
    store_relaxed(&info->kind, FD_UNKNOWN);
    store_relaxed(&info->hints, FD_PRIVATE);
    note_highest(fd);
}

void fd_accepted(int fd, int listener, int flags)
{
    struct fd_info *info = fd_info(fd), *from = fd_info(listener);
    if (!info || !from)
        return;
    /* Timeouts are inherited. */
    uint8_t hints = FD_LIKELY | (load_relaxed(&from->hints) & FD_TIMEOUT);
    if (!(flags & SOCK_NONBLOCK))
        hints |= FD_BLOCKING;
    store_relaxed(&info->hints, hints);
    store_relaxed(&info->kind, FD_SOCKET);
    note_highest(fd);
}

void fd_unshare(int fd)
{
    /* A vfork child has descriptors of its own, and may not wait for anybody. */
    if (!fd_table || (fiber_self && load_relaxed(&fiber_self->flags) & FIBER_VFORK))
        return;
    int first = fd < 0 ? 0 : fd, last = fd < 0 ? (int)load_relaxed(&highest) : fd;
    for (int i = first; i <= last && i < FD_TABLE_SIZE; i++) {
        uint8_t hints = load_relaxed(&fd_table[i].hints);
        if (!(hints & (FD_BLOCKING | FD_PRIVATE)))
            continue;
        atomic_fetch_and_explicit(&fd_table[i].hints, (uint8_t) ~(FD_BLOCKING | FD_PRIVATE),
                                  memory_order_seq_cst);
        /* A transfer that has begun ends alone: it takes no longer than a disk. Sequentially
         * consistent: whoever takes the position after this sees that the mark is gone. (In a fork's
         * child nobody is left who would end it.) */
        while (hints & FD_PRIVATE && load_seq(&fd_table[i].position) && load_relaxed(&sched.active))
            if (fiber_self)
                fiber_yield(fiber_self);
            else
                sys_call(SYS_sched_yield);
    }
}

bool fd_nonblocking(int fd)
{
    struct fd_info *info = fd_info(fd);
    if (info && load_relaxed(&info->kind) == FD_SOCKET && load_relaxed(&info->hints) & FD_BLOCKING)
        return false;
    long flags = sys_call(SYS_fcntl, fd, F_GETFL);
    return flags < 0 || (flags & O_NONBLOCK);
}

uint64_t fd_socket_deadline(int fd, bool send)
{
    struct fd_info *info = fd_info(fd);
    if (info && !(load_relaxed(&info->hints) & FD_TIMEOUT))
        return TIMER_NEVER;
    struct timeval tv = { 0, 0 };
    socklen_t len = sizeof tv;
    if (sys_call(SYS_getsockopt, fd, SOL_SOCKET, send ? SO_SNDTIMEO : SO_RCVTIMEO, &tv, &len) ||
        (!tv.tv_sec && !tv.tv_usec))
        return TIMER_NEVER;
    return timer_now() + (uint64_t)tv.tv_sec * NSEC_PER_SEC + (uint64_t)tv.tv_usec * NSEC_PER_USEC;
}

void poller_choose(const struct poller_backend *want, bool deny_uring, const char **why)
{
    *why = NULL;
    if (want != &poller_epoll) {
        *why = deny_uring ? "denied for a test" : uring_unavailable();
        if (!*why) {
            poller = &poller_uring;
            sched_poller = &poller->sched;
            return;
        }
    }
    poller = &poller_epoll;
    sched_poller = &poller->sched;
}
