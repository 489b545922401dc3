/* Files: read and write at a position, the page cache, and what waits for a disk.
 *
 * What is in the page cache is copied at once (RWF_NOWAIT); the rest is a request in the ring, which
 * needs no kernel thread, and which a signal does not end, as natively nothing but death ends a wait
 * for a disk. Writes go to the page cache by the plain system call, except where each one waits for
 * the disk (O_SYNC, O_DSYNC, O_DIRECT). fsync and its kin go through the ring too, so that any number
 * of them shares the few helper threads that it may have.
 *
 * The file position. The kernel moves it under a lock of the description's, so a read is one step to
 * other threads and processes that use the same description. A read that takes two steps (what is
 * cached, then the rest) is one only if nobody else moves the position in between. Hence: a
 * description that only this process and this number have (FD_PRIVATE: open() gave it, and it was not
 * duplicated, passed on or inherited) is used under fd_info.position, by readers and writers alike;
 * any other gets the plain system call, and the proc is passed on if that lasts. The program's
 * signals wait while fd_info.position is held over a park: a handler could read the same file, or
 * never return.
 *
 * Called on the program's stacks. Results inside are the kernel's kind. */
#include "shim/fdio.h"

#include <limits.h>
#include <sys/stat.h>
#include "sync/waitq.h"

/* ---- the position ---- */

struct hold {
    bool mine;     /* nobody else moves the position until position_give */
    bool masked;   /* the program's signals wait until then */
    uint64_t mask; /* what comes after */
};

/* All signals wait but those of libc and ours. */
static void hold_signals(struct fiber *self, struct hold *h)
{
    if (h->masked)
        return;
    h->mask = signal_mask(self);
    h->masked = true;
    self->sigmask = ~(3ull << 31);
}

static void position_give(struct fiber *self, int fd, struct hold *h)
{
    struct fd_info *info = fd_info(fd);
    if (h->mine && xchg_seq(&info->position, 0) == 2) /* partner: the waiter's exchange */
        waitq_wake(&info->position, 1, WAITQ_ANY);
    h->mine = false;
    if (h->masked) {
        h->masked = false;
        signal_set_mask(self, h->mask);
    }
}

static struct hold position_take(struct fiber *self, int fd)
{
    struct hold h = { .mine = false };
    struct fd_info *info = fd_info(fd);
    uint32_t free = 0;
    if (!info || !(load_relaxed(&info->hints) & FD_PRIVATE))
        return h;
    h.mine = true;
    if (!cas_seq(&info->position, &free, 1)) {
        /* A handler that never returned would take a wake-up along that is another waiter's. */
        hold_signals(self, &h);
        while (xchg_seq(&info->position, 2)) {
            if (waitq_wait(&info->position, 2, WAITQ_ANY, TIMER_NEVER, PARK_READ) == -EINTR)
                atomic_fetch_and_explicit(&self->attention, ~ATTENTION_CANCEL,
                                          memory_order_relaxed); /* the next call sees it */
        }
    }
    if (unlikely(!(load_seq(&info->hints) & FD_PRIVATE))) /* partner: fd_unshare */
        position_give(self, fd, &h);
    return h;
}

/* ---- the ring ---- */

/* Transfers what is left of iov after skip bytes, through the ring. offset: of the first byte of iov.
 * (NO_OFFSET: the ring's own idea of the position, which is right for what ends at once or is appended.)
 * -EOPNOTSUPP, -EAGAIN: nothing done, the ring cannot. */
static ssize_t through_ring(struct fiber *self, enum io_kind kind, int fd, const struct iovec *iov,
                            int count, size_t skip, uint64_t offset)
{
    ssize_t done = 0;
    for (int i = 0; i < count; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            offset += offset == NO_OFFSET ? 0 : iov[i].iov_len;
            continue;
        }
        while (skip < iov[i].iov_len) {
            size_t n = iov[i].iov_len - skip;
            struct io io = { .kind = kind,
                             .reason = kind == IO_READ ? PARK_READ : PARK_WRITE,
                             .fd = fd,
                             .addr = (char *)iov[i].iov_base + skip,
                             .len = (uint32_t)(n < MAX_TRANSFER ? n : MAX_TRANSFER),
                             .offset = offset == NO_OFFSET ? offset : offset + skip,
                             .steady = true };
            ssize_t r = poller->io(self, &io, TIMER_NEVER);
            if (r <= 0)
                return done ? done : r;
            done += r;
            skip += (size_t)r;
        }
        skip = 0;
        offset += offset == NO_OFFSET ? 0 : iov[i].iov_len;
    }
    return done;
}

static size_t iov_bytes(const struct iovec *iov, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return n;
}

static uint8_t hints_of(int fd)
{
    struct fd_info *info = fd_info(fd);
    return info ? load_relaxed(&info->hints) : 0;
}

/* Whether fd still is the file that the table says it is, now that it is worth asking. */
static bool still_file(int fd)
{
    struct stat st;
    if (sys_call(SYS_fstat, fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
        return true;
    fd_forget(fd);
    return false;
}

/* ---- reading ---- */

static ssize_t read_rest_directly(int fd, const struct iovec *iov, int count, size_t done,
                                  uint64_t offset)
{
    if (!done)
        return offset == NO_OFFSET ? sys_call(SYS_readv, fd, iov, count)
                                   : sys_call(SYS_preadv, fd, iov, count, offset, 0);
    size_t skip = done;
    ssize_t r = 0;
    for (int i = 0; i < count; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        char *to = (char *)iov[i].iov_base + skip;
        size_t n = iov[i].iov_len - skip;
        ssize_t part = offset == NO_OFFSET
                           ? sys_call(SYS_read, fd, to, n)
                           : sys_call(SYS_pread64, fd, to, n, offset + done + (size_t)r);
        r += part > 0 ? part : 0;
        if (part < (ssize_t)n)
            break;
        skip = 0;
    }
    return r;
}

/* What the cache did not have, after done bytes. The rest of a read is its own: a short count would
 * mean the end of the file to the program. The ring does not move the position of a read that it
 * does not end at once, so the position, which is held, is set afterwards. */
static ssize_t read_rest(struct fiber *self, int fd, const struct iovec *iov, int count,
                         size_t done, uint64_t offset)
{
    bool own = offset == NO_OFFSET;
    ssize_t r = -EOPNOTSUPP;
    if (still_file(fd)) {
        long at = own ? sys_call(SYS_lseek, fd, 0, SEEK_CUR) - (long)done : (long)offset;
        if (at >= 0)
            r = through_ring(self, IO_READ, fd, iov, count, done, (uint64_t)at);
        if (own && r > 0)
            sys_call(SYS_lseek, fd, at + (long)done + r, SEEK_SET);
    }
    if (r == -EOPNOTSUPP || r == -EAGAIN || r == -EINTR)
        r = HANDED_OFF(self, read_rest_directly(fd, iov, count, done, offset));
    if (r < 0)
        return done ? (ssize_t)done : r;
    return (ssize_t)done + r;
}

ssize_t file_read(struct fiber *self, int fd, const struct iovec *iov, int count, uint64_t offset)
{
    struct hold h = { .mine = false };
    if (offset == NO_OFFSET) {
        h = position_take(self, fd);
        if (!h.mine)
            return HANDED_OFF(self, CALL_RESTART(self, true, SYS_readv, fd, iov, count));
    }
    ssize_t r = -EAGAIN;
    if (!(hints_of(fd) & FD_DIRECT))
        r = try_read(fd, iov, count, offset);
    else if (user_check(self, iov, (size_t)count * sizeof *iov))
        r = -EFAULT; /* the kernel has not seen it */
    if (r == -EAGAIN || r == -EOPNOTSUPP || (r > 0 && (size_t)r < iov_bytes(iov, count))) {
        if (h.mine)
            hold_signals(self, &h);
        r = read_rest(self, fd, iov, count, r > 0 ? (size_t)r : 0, offset);
    }
    if (offset == NO_OFFSET)
        position_give(self, fd, &h);
    return r;
}

/* preadv2 as the kernel has it. Only files are special: elsewhere a position is an error. */
static ssize_t read_at(struct fiber *self, int fd, const struct iovec *iov, int count, off_t offset)
{
    if (offset >= 0 && fd_classify(fd) == FD_FILE)
        return file_read(self, fd, iov, count, (uint64_t)offset);
    return HANDED_OFF(self, CALL_RESTART(self, true, SYS_preadv, fd, iov, count, offset, 0));
}

EXPORT ssize_t pread(int fd, void *buf, size_t n, off_t offset)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(pread)(fd, buf, n, offset);
    struct iovec iov = { buf, n };
    return set_errno(read_at(self, fd, &iov, 1, offset));
}

EXPORT ssize_t __pread_chk(int fd, void *buf, size_t n, off_t offset, size_t size)
{
    return n > size ? REAL(__pread_chk)(fd, buf, n, offset, size) : pread(fd, buf, n, offset);
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || count <= 0 || count > IOV_MAX)
        return REAL(preadv)(fd, iov, count, offset);
    return set_errno(read_at(self, fd, iov, count, offset));
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || count <= 0 || count > IOV_MAX || flags & RWF_NOWAIT)
        return REAL(preadv2)(fd, iov, count, offset, flags);
    if (flags)
        return set_errno(HANDED_OFF(
            self, CALL_RESTART(self, true, SYS_preadv2, fd, iov, count, offset, 0, flags)));
    if (offset == -1)
        return set_errno(read_any(self, fd, iov, count));
    return set_errno(read_at(self, fd, iov, count, offset));
}

/* ---- writing ---- */

/* A write that waits for the disk, through the ring. One iovec, so that what must be written as one is
 * one request. -EOPNOTSUPP: as a system call. */
static ssize_t write_through(struct fiber *self, int fd, const struct iovec *iov, uint64_t offset)
{
    long flags = sys_call(SYS_fcntl, fd, F_GETFL), at = (long)offset;
    if (flags < 0 || (flags & (O_APPEND | O_DIRECT)) == (O_APPEND | O_DIRECT) || !still_file(fd))
        return -EOPNOTSUPP;
    bool own = offset == NO_OFFSET && !(flags & O_APPEND);
    if (own && (at = sys_call(SYS_lseek, fd, 0, SEEK_CUR)) < 0)
        return -EOPNOTSUPP;
    ssize_t r = through_ring(self, IO_WRITE, fd, iov, 1, 0, (uint64_t)at);
    if (own && r > 0)
        sys_call(SYS_lseek, fd, at + r, SEEK_SET);
    /* EFBIG: again by ourselves, because the limit on file sizes has a signal as well. */
    return r == -EAGAIN || r == -EINTR || r == -EFBIG ? -EOPNOTSUPP : r;
}

ssize_t file_write(struct fiber *self, int fd, const struct iovec *iov, int count, uint64_t offset)
{
    ssize_t r = -EOPNOTSUPP;
    struct hold h = { .mine = false };
    if (offset == NO_OFFSET)
        h = position_take(self, fd);
    if (unlikely(hints_of(fd) & (FD_SYNC | FD_DIRECT)) && count == 1 &&
        !user_check(self, iov, sizeof *iov) && iov->iov_len && (h.mine || offset != NO_OFFSET)) {
        if (h.mine)
            hold_signals(self, &h);
        r = write_through(self, fd, iov, offset);
    }
    if (r == -EOPNOTSUPP && !h.mine) {
        if (offset == NO_OFFSET)
            return HANDED_OFF(self, CALL_RESTART(self, true, SYS_writev, fd, iov, count));
        return HANDED_OFF(self, CALL_RESTART(self, true, SYS_pwritev, fd, iov, count, offset, 0));
    }
    if (r == -EOPNOTSUPP) {
        handoff_enter(self);
        r = count == 1 ? sys_call(SYS_write, fd, iov->iov_base, iov->iov_len)
                       : sys_call(SYS_writev, fd, iov, count);
        /* Before anything that could run a handler. */
        position_give(self, fd, &h);
        handoff_leave(self);
        return r;
    }
    position_give(self, fd, &h);
    return r;
}

static ssize_t write_at(struct fiber *self, int fd, const struct iovec *iov, int count,
                        off_t offset)
{
    if (offset >= 0 && fd_classify(fd) == FD_FILE)
        return file_write(self, fd, iov, count, (uint64_t)offset);
    return HANDED_OFF(self, CALL_RESTART(self, true, SYS_pwritev, fd, iov, count, offset, 0));
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(pwrite)(fd, buf, n, offset);
    struct iovec iov = { (void *)(uintptr_t)buf, n };
    return set_errno(write_at(self, fd, &iov, 1, offset));
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || count <= 0 || count > IOV_MAX)
        return REAL(pwritev)(fd, iov, count, offset);
    return set_errno(write_at(self, fd, iov, count, offset));
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || count <= 0 || count > IOV_MAX || flags & RWF_NOWAIT)
        return REAL(pwritev2)(fd, iov, count, offset, flags);
    if (flags)
        return set_errno(HANDED_OFF(
            self, CALL_RESTART(self, true, SYS_pwritev2, fd, iov, count, offset, 0, flags)));
    if (offset == -1)
        return set_errno(writev_any(self, fd, iov, count));
    return set_errno(write_at(self, fd, iov, count, offset));
}

/* ---- to the disk ---- */

static int sync_file(struct fiber *self, int fd, long nr, uint32_t flags)
{
    struct io io = {
        .kind = IO_FSYNC, .reason = PARK_WRITE, .fd = fd, .flags = flags, .steady = true
    };
    long r = fd_classify(fd) == FD_FILE ? poller->io(self, &io, TIMER_NEVER) : -EOPNOTSUPP;
    if (r == -EOPNOTSUPP || r == -EAGAIN)
        r = HANDED_OFF(self, CALL_RESTART(self, true, nr, fd));
    return (int)set_errno(r);
}

EXPORT int fsync(int fd)
{
    struct fiber *self = fiber_at_cancel_point();
    return self ? sync_file(self, fd, SYS_fsync, 0) : REAL(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
    struct fiber *self = fiber_at_cancel_point();
    /* 1: IORING_FSYNC_DATASYNC */
    return self ? sync_file(self, fd, SYS_fdatasync, 1) : REAL(fdatasync)(fd);
}

EXPORT int sync_file_range(int fd, off_t offset, off_t n, unsigned flags)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self)
        return REAL(sync_file_range)(fd, offset, n, flags);
    struct io io = { .kind = IO_SYNC_RANGE,
                     .reason = PARK_WRITE,
                     .fd = fd,
                     .len = (uint32_t)n,
                     .offset = (uint64_t)offset,
                     .flags = flags,
                     .steady = true };
    long r = -EOPNOTSUPP;
    if (n >= 0 && n <= UINT32_MAX && fd_classify(fd) == FD_FILE)
        r = poller->io(self, &io, TIMER_NEVER);
    if (r == -EOPNOTSUPP || r == -EAGAIN)
        r = HANDED_OFF(self, CALL_RESTART(self, true, SYS_sync_file_range, fd, offset, n, flags));
    return (int)set_errno(r);
}

/* ---- locks on files: tried first, because most are free, and waiting for one takes a thread ---- */

EXPORT int flock(int fd, int op)
{
    struct fiber *self = fiber_here();
    if (!self)
        return REAL(flock)(fd, op);
    long r = sys_call(SYS_flock, fd, op | LOCK_NB);
    if (r == -EAGAIN && !(op & LOCK_NB))
        r = BLOCKED(self,
                    CALL_UNDISTURBED(self, true, fiber_call_through(self, SYS_flock, fd, op)));
    return (int)set_errno(r);
}

EXPORT int lockf(int fd, int cmd, off_t n)
{
    struct fiber *self = fiber_at_cancel_point();
    if (!self || cmd != F_LOCK)
        return REAL(lockf)(fd, cmd, n);
    if (REAL(lockf)(fd, F_TLOCK, n) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return -1;
    handoff_block_enter(self);
    int r = UNDISTURBED(self, REAL(lockf)(fd, F_LOCK, n));
    handoff_block_leave(self);
    return r;
}
