/* futex(2), futex_waitv(2) and the newer futex_wait, futex_wake, futex_requeue, as called through syscall().
 *
 * A private futex is an address of ours: waiters park in the table of lib/sync, and wakers find them
 * there. A wait on a shared one goes to the kernel, through the ring if there is one; everything else about
 * shared ones is a short system call. A wait on several futexes at a time also goes to the kernel, with the
 * addresses marked so that our wakers ask the kernel too. Checks and results are the kernel's, in its
 * order.
 *
 * Called on the program's stacks, outside the runtime. */
#include "shim/calls.h"

#include <limits.h>
#include <linux/futex.h>
#include "arch/syscall.h"
#include "base/log.h"
#include "shim/deep.h"
#include "sync/sync.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#define NR_FUTEX_WAKE    454
#define NR_FUTEX_WAIT    455
#define NR_FUTEX_REQUEUE 456

#define USER_END 0x7ffffffff000ul

/* ---- arguments ---- */

/* Whether 4 bytes can be read there: the kernel answers EFAULT, we would die. Pages that were found
 * readable once are remembered; a program that unmaps a futex and goes on using it is not helped. */
static bool readable(const void *addr)
{
    static _Atomic uintptr_t known[64];
    uintptr_t page = (uintptr_t)addr >> 12;
    _Atomic uintptr_t *slot = &known[page % 64];
    if (likely(load_relaxed(slot) == page && page))
        return true;
    uint32_t value;
    struct iovec to = { &value, sizeof value }, from = { (void *)(uintptr_t)addr, sizeof value };
    if (sys_call(SYS_process_vm_readv, sys_call(SYS_getpid), &to, 1, &from, 1, 0) != sizeof value) {
        /* Refused by a sandbox: the kernel's own futex knows. It finds the value equal or not. */
        long r = sys_call(SYS_futex, addr, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, addr, 0);
        if (r == -EFAULT)
            return false;
    }
    store_relaxed(slot, page);
    return true;
}

static bool timespec_valid(const struct timespec *ts)
{
    return ts->tv_sec >= 0 && (unsigned long)ts->tv_nsec < NSEC_PER_SEC;
}

static int deadline_at(clockid_t clock, const struct timespec *ts, uint64_t *deadline)
{
    *deadline = TIMER_NEVER;
    if (!ts)
        return 0;
    if (!readable(ts) || !readable((const char *)ts + 12))
        return -EFAULT;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return -EINVAL;
    return timespec_valid(ts) && deadline_from(clock, ts, deadline) ? 0 : -EINVAL;
}

static int deadline_in(const struct timespec *ts, uint64_t *deadline)
{
    *deadline = TIMER_NEVER;
    if (!ts)
        return 0;
    if (!readable(ts) || !readable((const char *)ts + 12))
        return -EFAULT;
    if (!timespec_valid(ts))
        return -EINVAL;
    *deadline = ts->tv_sec > INT_MAX
                    ? TIMER_NEVER - 1
                    : timer_now() + (uint64_t)ts->tv_sec * NSEC_PER_SEC + (uint64_t)ts->tv_nsec;
    return 0;
}

static int check_word(const void *addr)
{
    if ((uintptr_t)addr % 4)
        return -EINVAL;
    return (uintptr_t)addr < USER_END ? 0 : -EFAULT;
}

/* ---- waiting ---- */

/* restartable: a handler with SA_RESTART does not end it. */
static long wait_word(void *addr, uint32_t value, uint32_t bits, bool private, uint64_t deadline,
                      bool restartable)
{
    struct fiber *self = fiber_current(); /* a thread of somebody else's may come here first */
    long r;
    if (!bits)
        return -EINVAL;
    if ((r = check_word(addr)))
        return r;
    if (private && !readable(addr))
        return -EFAULT;
    /* Not a cancellation point: a cancellation only has to stop interrupting the wait. */
    struct futex_wait what = {
        .addr = addr, .value = value, .bits = bits, .flags = FUTEX_WORD_SHARED
    };
    do {
        r = private ? waitq_wait(addr, value, bits, deadline, PARK_FUTEX)
                    : kernel_futex_wait(self, &what, deadline, PARK_FUTEX);
        if (r == -EINTR)
            sched_wait_interrupted(self);
    } while (r == -EINTR && restart_wait(self, restartable));
    return r;
}

static long wait_several(const struct futex_waitv *v, uint32_t n, uint32_t flags,
                         const struct timespec *ts, clockid_t clock)
{
    struct fiber *self = fiber_current(); /* a thread of somebody else's may come here first */
    uint64_t deadline;
    int err;
    /* What the kernel refuses at once it may refuse itself. */
    if (flags || !n || n > FUTEX_WAITV_MAX || !v || (uintptr_t)v % 8)
        return -ENOSYS;
    for (const char *p = (const char *)v; p < (const char *)(v + n); p += 8)
        if (!readable(p))
            return -EFAULT;
    if ((err = deadline_at(clock, ts, &deadline)))
        return err;
    for (uint32_t i = 0; i < n; i++)
        if (v[i].flags & FUTEX_PRIVATE_FLAG)
            waitq_kernel_begin((const void *)(uintptr_t)v[i].uaddr);
    struct futex_wait what = { .addr = v, .n = n };
    long r;
    bool cancelled;
    do {
        r = kernel_futex_wait(self, &what, deadline, PARK_FUTEX);
        cancelled = r == -EINTR && sched_cancel_ops.anywhere(self);
    } while (r == -EINTR && !cancelled && restart_wait(self, true));
    for (uint32_t i = 0; i < n; i++)
        if (v[i].flags & FUTEX_PRIVATE_FLAG)
            waitq_kernel_end((const void *)(uintptr_t)v[i].uaddr);
    if (unlikely(cancelled))
        cancel_point(self);
    return r;
}

/* ---- waking ---- */

static long wake(void *addr, int n, uint32_t bits)
{
    int err = check_word(addr);
    if (!bits)
        return -EINVAL;
    return err ? err : waitq_wake(addr, n < 1 ? 1 : n, bits);
}

static long requeue(void *from, void *to, int n, int move, bool check, uint32_t expected)
{
    int err;
    if (n < 0 || move < 0)
        return -EINVAL;
    if ((err = check_word(from)) || (err = check_word(to)))
        return err;
    if (check && !readable(from))
        return -EFAULT;
    return waitq_requeue(from, to, n, move, check, expected);
}

static bool compares(uint32_t how, int old, int with)
{
    switch (how) {
    case FUTEX_OP_CMP_EQ:
        return old == with;
    case FUTEX_OP_CMP_NE:
        return old != with;
    case FUTEX_OP_CMP_LT:
        return old < with;
    case FUTEX_OP_CMP_LE:
        return old <= with;
    case FUTEX_OP_CMP_GT:
        return old > with;
    default:
        return old >= with;
    }
}

static long wake_op(void *addr, int n, void *addr2, int n2, uint32_t op)
{
    int err, oparg = (int)(op << 8) >> 20, cmparg = (int)(op << 20) >> 20, old;
    uint32_t how = op >> 28 & 7, compare = op >> 24 & 15;
    _Atomic int *word = addr2;
    if ((err = check_word(addr)) || (err = check_word(addr2)))
        return err;
    if (!readable(addr2))
        return -EFAULT;
    if (op >> 31)
        oparg = (int)(1u << (oparg & 31));
    switch (how) {
    case FUTEX_OP_SET:
        old = atomic_exchange(word, oparg);
        break;
    case FUTEX_OP_ADD:
        old = atomic_fetch_add(word, oparg);
        break;
    case FUTEX_OP_OR:
        old = atomic_fetch_or(word, oparg);
        break;
    case FUTEX_OP_ANDN:
        old = atomic_fetch_and(word, ~oparg);
        break;
    case FUTEX_OP_XOR:
        old = atomic_fetch_xor(word, oparg);
        break;
    default:
        return -ENOSYS;
    }
    if (compare > FUTEX_OP_CMP_GE)
        return -ENOSYS;
    bool both = compares(compare, old, cmparg);
    long woken = waitq_wake(addr, n < 1 ? 1 : n, WAITQ_ANY);
    if (both)
        woken += waitq_wake(addr2, n2 < 1 ? 1 : n2, WAITQ_ANY);
    return woken;
}

/* ---- priority inheritance ---- */

/* Whether the kernel knows the calling thread by the tid that it has for the program. */
static bool has_kernel_tid(struct fiber *self)
{
    uint32_t flags = load_relaxed(&self->flags);
    return flags & FIBER_BOUND ? self->worker->ktid == self->tid : flags & FIBER_DIRECT;
}

static long refuse(void)
{
    static _Atomic bool told;
    if (!atomic_exchange(&told, true))
        log_unsupported(
            "futex: priority inheritance between processes, or with requeueing, is refused "
            "(ENOSYS) on threads without a kernel tid; see RADDLE_BOUND=all");
    return CALL_REFUSED;
}

static long inherit(void *addr, int cmd, bool private, bool realtime, const struct timespec *ts)
{
    struct fiber *self = fiber_current();
    uint64_t deadline;
    int err;
    if (runtime_mode != RUNTIME_ACTIVE)
        return -ENOSYS; /* tids are the kernel's */
    if (!private || cmd == FUTEX_WAIT_REQUEUE_PI || cmd == FUTEX_CMP_REQUEUE_PI)
        return has_kernel_tid(self) ? -ENOSYS : refuse();
    if (cmd == FUTEX_LOCK_PI || cmd == FUTEX_LOCK_PI2) {
        clockid_t clock = cmd == FUTEX_LOCK_PI || realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        if ((err = deadline_at(clock, ts, &deadline)))
            return err;
    }
    if ((err = check_word(addr)))
        return err;
    if (!readable(addr))
        return -EFAULT;
    switch (cmd) {
    case FUTEX_UNLOCK_PI:
        return pi_release(addr, 0);
    case FUTEX_TRYLOCK_PI:
        return pi_trylock(addr);
    default:
        return pi_lock(
            addr, (uint32_t)cmd | FUTEX_PRIVATE_FLAG | (realtime ? FUTEX_CLOCK_REALTIME : 0), ts);
    }
}

/* ---- the calls ---- */

static long futex(void *addr, int op, uint32_t value, const struct timespec *ts, void *addr2,
                  uint32_t value3)
{
    uint64_t deadline;
    bool private = op & FUTEX_PRIVATE_FLAG;
    int cmd = op & FUTEX_CMD_MASK, err, value2 = (int)(uintptr_t)ts;
    bool realtime = op & FUTEX_CLOCK_REALTIME;
    if (realtime && cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_WAIT_REQUEUE_PI &&
        cmd != FUTEX_LOCK_PI2)
        return -ENOSYS; /* the kernel judges */
    switch (cmd) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_UNLOCK_PI:
    case FUTEX_TRYLOCK_PI:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_CMP_REQUEUE_PI:
        return inherit(addr, cmd, private, realtime, ts);
    case FUTEX_WAIT:
        err = deadline_in(ts, &deadline);
        return err ? err
                   : wait_word(addr, value, FUTEX_BITSET_MATCH_ANY, private, deadline,
                               deadline == TIMER_NEVER);
    case FUTEX_WAIT_BITSET:
        err = deadline_at(op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, ts,
                          &deadline);
        return err ? err
                   : wait_word(addr, value, value3, private, deadline, deadline == TIMER_NEVER);
    }
    if (!private)
        return -ENOSYS;
    switch (cmd) {
    case FUTEX_WAKE:
        return wake(addr, (int)value, WAITQ_ANY);
    case FUTEX_WAKE_BITSET:
        return wake(addr, (int)value, value3);
    case FUTEX_REQUEUE:
        return requeue(addr, addr2, (int)value, value2, false, 0);
    case FUTEX_CMP_REQUEUE:
        return requeue(addr, addr2, (int)value, value2, true, value3);
    case FUTEX_WAKE_OP:
        return wake_op(addr, (int)value, addr2, value2, value3);
    default:
        return -ENOSYS;
    }
}

long futex_private(uint32_t *addr, int op, uint32_t value, const struct timespec *ts,
                   uint32_t *addr2, uint32_t value3)
{
    int cmd = op & FUTEX_CMD_MASK;
    bool inherits = (cmd >= FUTEX_LOCK_PI && cmd <= FUTEX_TRYLOCK_PI) ||
                    cmd >= FUTEX_WAIT_REQUEUE_PI;
    return op & FUTEX_PRIVATE_FLAG && !inherits ? futex(addr, op, value, ts, addr2, value3)
                                                : -ENOSYS;
}

/* Whether the kernel has the newer calls: a program is not to find here what it cannot have elsewhere. */
static bool kernel_has_futex2(void)
{
    static _Atomic int has; /* 1 yes, -1 no */
    int h = load_relaxed(&has);
    if (!h) {
        h = sys_call(NR_FUTEX_WAKE, NULL, 0, 0, ~0u) == -ENOSYS ? -1 : 1;
        store_relaxed(&has, h);
    }
    return h > 0;
}

static long futex2_requeue(const struct futex_waitv *v, uint32_t flags, int n, int move)
{
    if (flags || !v || (uintptr_t)v % 8)
        return -ENOSYS;
    for (const char *p = (const char *)v; p < (const char *)(v + 2); p += 8)
        if (!readable(p))
            return -EFAULT;
    if (v[0].flags != FUTEX_WORD_PRIVATE || v[1].flags != FUTEX_WORD_PRIVATE || v[0].__reserved ||
        v[1].__reserved || v[0].val > UINT32_MAX)
        return -ENOSYS; /* shared, or wrong */
    return requeue((void *)(uintptr_t)v[0].uaddr, (void *)(uintptr_t)v[1].uaddr, n, move, true,
                   (uint32_t)v[0].val);
}

long futex_call(long nr, const long *a)
{
    uint64_t deadline;
    int err;
    if (nr == SYS_futex)
        return futex((void *)a[0], (int)a[1], (uint32_t)a[2], (const struct timespec *)a[3],
                     (void *)a[4], (uint32_t)a[5]);
    if (nr == SYS_futex_waitv)
        return wait_several((const struct futex_waitv *)a[0], (uint32_t)a[1], (uint32_t)a[2],
                            (const struct timespec *)a[3], (clockid_t)a[4]);
    if (nr < NR_FUTEX_WAKE || nr > NR_FUTEX_REQUEUE || !kernel_has_futex2())
        return -ENOSYS;
    switch (nr) {
    case NR_FUTEX_WAKE:
        if ((uint32_t)a[3] != FUTEX_WORD_PRIVATE || (unsigned long)a[1] > UINT32_MAX)
            return -ENOSYS;
        /* Unlike futex(2)'s, it wakes nobody if it is told so. */
        return (int)a[2] ? wake((void *)a[0], (int)a[2], (uint32_t)a[1]) : check_word((void *)a[0]);
    case NR_FUTEX_WAIT:
        if (((uint32_t)a[3] & ~FUTEX_PRIVATE_FLAG) != FUTEX_WORD_SHARED ||
            (unsigned long)a[1] > UINT32_MAX || (unsigned long)a[2] > UINT32_MAX)
            return -ENOSYS; /* refused, or sizes and NUMA nodes that come one day */
        err = deadline_at((clockid_t)a[5], (const struct timespec *)a[4], &deadline);
        return err ? err
                   : wait_word((void *)a[0], (uint32_t)a[1], (uint32_t)a[2],
                               a[3] & FUTEX_PRIVATE_FLAG, deadline, true);
    default:
        return futex2_requeue((const struct futex_waitv *)a[0], (uint32_t)a[1], (int)a[2],
                              (int)a[3]);
    }
}
