/* Mutexes with priority inheritance (pthread_mutexattr_setprotocol(3), PTHREAD_PRIO_INHERIT).
 *
 * The kernel's protocol, which is libc's too: the lock word holds the tid of the owner's kernel thread,
 * taken and given back without a call if nobody waits; who finds it taken waits in FUTEX_LOCK_PI, and the
 * kernel lends the owner the waiter's priority. That is meant for kernel threads, so the first thing that
 * a fiber does here is to get one of its own (sync_real.bind). The tid is that of the carrier, not the one
 * that gettid(2) answers on the fiber.
 *
 * The process's first thread has kernel thread 0 before there are fibers and another afterwards; if it
 * holds such a mutex then, threads stay kernel threads: fiber->inherits counts them.
 *
 * Invariant: word & FUTEX_TID_MASK is the owner's kernel thread, or 0. Called on the program's stacks,
 * outside the runtime; the waits block the kernel thread, which has nothing else to run. */
#include "sync/sync.h"

#include <errno.h>
#include <linux/futex.h>
#include <time.h>
#include "arch/clock.h"
#include "arch/syscall.h"

#define LOCK_PI2 13 /* FUTEX_LOCK_PI with a choice of clocks, Linux 5.14 */

static uint32_t kernel_tid(struct fiber *self)
{
    uint32_t flags = load_relaxed(&self->flags);
    if (!(flags & FIBER_DIRECT))
        return 0; /* holds none */
    return flags & FIBER_BOUND ? self->worker->ktid : self->tid;
}

static bool owned(struct mutex *m, struct fiber *self)
{
    uint32_t tid = kernel_tid(self);
    return tid && (load_relaxed(&m->lock) & FUTEX_TID_MASK) == tid;
}

static uint32_t scope(struct mutex *m)
{
    return m->kind & MUTEX_SHARED ? 0 : FUTEX_PRIVATE_FLAG;
}

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
}

/* Locks itself out, or waits for an owner that does not exist any more. */
static int wait_in_vain(uint64_t deadline)
{
    uint32_t word = 0;
    struct timespec until = time_of(deadline);
    while (sys_call(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0,
                    deadline == TIMER_NEVER ? NULL : &until, NULL,
                    FUTEX_BITSET_MATCH_ANY) != -ETIMEDOUT)
        ;
    return -ETIMEDOUT;
}

static long kernel_lock(struct mutex *m, uint64_t deadline)
{
    if (deadline == TIMER_NEVER)
        return sys_call(SYS_futex, &m->lock, FUTEX_LOCK_PI | scope(m), 0, NULL);
    struct timespec until = time_of(deadline), now;
    long r = sys_call(SYS_futex, &m->lock, LOCK_PI2 | scope(m), 0, &until);
    if (r != -ENOSYS)
        return r;
    /* By the other clock, which may be set meanwhile. */
    uint64_t mono = timer_now();
    arch_clock(CLOCK_REALTIME, &now);
    until = time_of((uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec +
                    (deadline > mono ? deadline - mono : 0));
    return sys_call(SYS_futex, &m->lock, FUTEX_LOCK_PI | scope(m), 0, &until);
}

static int acquire(struct mutex *m, uint32_t tid, uint64_t deadline, bool trying)
{
    for (;;) {
        uint32_t free = 0;
        if (cas_acquire(&m->lock, &free, tid)) /* partner: inherit_unlock */
            return 0;
        if (trying)
            return -EBUSY;
        switch (kernel_lock(m, deadline)) {
        case 0:
            return 0;
        case -ETIMEDOUT:
            return -ETIMEDOUT;
        case -ESRCH:
        case -EDEADLK:
            return wait_in_vain(deadline);
        case -ENOMEM:
            return -ENOMEM;
        default: /* -EAGAIN: the owner is about to end */
            break;
        }
    }
}

int inherit_lock(struct mutex *m, uint64_t deadline, bool trying)
{
    struct fiber *self = fiber_current();
    if (owned(m, self)) {
        switch (m->kind & MUTEX_TYPE) {
        case PTHREAD_MUTEX_RECURSIVE:
            return mutex_again(m);
        case PTHREAD_MUTEX_ERRORCHECK:
            return -EDEADLK; /* pthread_mutex_trylock too, with this protocol: libc does so */
        }
    }
    if (trying && load_relaxed(&m->lock))
        return -EBUSY;
    if (!(load_relaxed(&self->flags) & FIBER_DIRECT)) {
        int err = sync_real.bind(self);
        if (err)
            return err;
    }
    uint32_t tid = kernel_tid(self);
    int err = acquire(m, tid, deadline, trying);
    if (err)
        return err;
    m->count = 1;
    self->inherits++;
    if (m->kind & MUTEX_SHARED)
        m->users++;
    store_relaxed(&m->owner, m->kind & MUTEX_SHARED ? tid : self->tid);
    return 0;
}

int inherit_unlock(struct mutex *m)
{
    struct fiber *self = fiber_current();
    if (!owned(m, self))
        return -EPERM;
    if ((m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_RECURSIVE && --m->count)
        return 0;
    self->inherits--;
    store_relaxed(&m->owner, 0);
    if (m->kind & MUTEX_SHARED)
        m->users--;
    uint32_t held = kernel_tid(self), op = FUTEX_UNLOCK_PI | scope(m);
    if (!cas_release(&m->lock, &held, 0)) /* the last touch, as is the kernel's */
        return (int)sys_call(SYS_futex, &m->lock, op);
    return 0;
}
