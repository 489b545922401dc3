/* Waiting on words that other processes see, and the simple process-shared objects.
 *
 * Such an object follows glibc's protocol to the letter, since the other process may run without us:
 * the words, their values, and who wakes whom. Waiters sit in the kernel's futex table, where every
 * process finds them: through the ring, so that only the fiber waits, or, with a poller that cannot, on
 * a kernel thread of its own. Wake-ups are system calls.
 *
 * One thing is not glibc's: the owner that such an object shows. libc compares it with the tid of the
 * calling thread only, so it just has to be nobody else's: our process id. Which fiber it is stands in
 * a word that libc does not compare.
 *
 * Called on the program's stacks, outside the runtime. */
#include "sync/sync.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include "arch/arch.h"
#include "arch/syscall.h"

struct sync_real sync_real;

static _Atomic uint32_t pid;

uint32_t shared_owner(void)
{
    uint32_t p = load_relaxed(&pid);
    if (unlikely(!p)) {
        p = (uint32_t)sys_call(SYS_getpid);
        store_relaxed(&pid, p);
    }
    return p;
}

void sync_after_fork(struct fiber *self)
{
    store_relaxed(&pid, 0);
    robust_after_fork(self);
    pi_after_fork();
    waitq_after_fork();
}

static struct timespec at(uint64_t deadline)
{
    return (struct timespec){ (time_t)(deadline / NSEC_PER_SEC), (long)(deadline % NSEC_PER_SEC) };
}

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

long kernel_futex_wait(struct fiber *self, const struct futex_wait *what, uint64_t deadline,
                       enum park_reason reason)
{
    bool direct = load_relaxed(&self->flags) & FIBER_DIRECT;
    if (!direct && sched_poller->futex_wait)
        return sched_poller->futex_wait(self, what, reason, deadline);
    struct timespec ts = at(deadline);
    const long until = deadline == TIMER_NEVER ? 0 : (long)&ts;
    const long several[7] = {
        SYS_futex_waitv, (long)what->addr, what->n, 0, until, CLOCK_MONOTONIC
    };
    const long one[7] = { SYS_futex,
                          (long)what->addr,
                          FUTEX_WAIT_BITSET | (int)(what->flags & FUTEX_PRIVATE_FLAG),
                          what->value,
                          until,
                          0,
                          what->bits };
    const long *args = what->n ? several : one;
    if (direct && load_relaxed(&self->flags) & FIBER_VFORK)
        return arch_syscall6(args[0], args[1], args[2], args[3], args[4], args[5], args[6]);
    self->handled = 0;
    /* On a kernel thread of its own, where a cancellation can call it off. */
    if (direct)
        store_relaxed(&self->in_syscall, 1);
    else
        sync_real.block(self);
    fence_compiler(); /* partner: the barrier in pthread_cancel */
    uint32_t ends = PARK_NO_POINTS >> reason & 1 ? 0 : ATTENTION_CANCEL;
    long r = arch_syscall_unless(&self->attention, ends, args);
    if (direct)
        store_relaxed(&self->in_syscall, 0);
    else
        sync_real.unblock(self);
    return r;
}

int shared_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline,
                enum park_reason reason)
{
    struct futex_wait what = {
        .addr = word, .value = expected, .bits = FUTEX_BITSET_MATCH_ANY, .flags = FUTEX_WORD_SHARED
    };
    return (int)kernel_futex_wait(fiber_current(), &what, deadline, reason);
}

int shared_wait_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline,
                   enum park_reason reason)
{
    int err = shared_wait(word, expected, deadline, reason);
    if (err == -EINTR)
        sched_wait_interrupted(fiber_current());
    return err == -ETIMEDOUT ? err : 0;
}

void shared_wake(_Atomic uint32_t *word, int n)
{
    sys_call(SYS_futex, word, FUTEX_WAKE, n);
}

/* ---- barrier ----
 * in counts arrivals and never goes down within a round of rounds; round is the number of the last
 * arrival whose round is complete, and what waiters wait on; out counts departures. When in has come
 * near its end, the last to leave sets all three back. pthread_barrier_destroy pretends that this
 * point has come, and so waits for those who still have to leave. */

#define ARRIVALS (UINT32_MAX / 2)

static uint32_t last_arrival(struct barrier *b)
{
    return ARRIVALS - ARRIVALS % b->count;
}

int shared_barrier_wait(struct barrier *b)
{
    uint32_t last = last_arrival(b), count = b->count, mine;
    while ((mine = atomic_fetch_add_explicit(&b->in, 1, memory_order_acq_rel) + 1) > last) {
        for (uint32_t now = mine; now > last; now = load_relaxed(&b->in))
            shared_wait_on(&b->in, now, TIMER_NEVER, PARK_BARRIER); /* for the one that sets back */
    }
    uint32_t done = load_acquire(&b->round);
    while (done + count <= mine) {
        uint32_t complete = mine - mine % count;
        if (atomic_compare_exchange_strong_explicit(&b->round, &done, complete,
                                                    memory_order_acq_rel, memory_order_acquire)) {
            done = complete;
            shared_wake(&b->round, INT_MAX);
        }
    }
    while (mine > done) {
        shared_wait_on(&b->round, done, TIMER_NEVER, PARK_BARRIER);
        done = load_acquire(&b->round);
    }
    if (atomic_fetch_add_explicit(&b->out, 1, memory_order_acq_rel) + 1 == last) {
        store_relaxed(&b->round, 0);
        store_relaxed(&b->out, 0);
        store_release(&b->in, 0);
        shared_wake(&b->in, INT_MAX);
    }
    return mine % count == 0;
}

int shared_barrier_destroy(struct barrier *b)
{
    uint32_t in = load_relaxed(&b->in);
    if (atomic_fetch_add_explicit(&b->out, last_arrival(b) - in, memory_order_acq_rel) < in)
        while ((in = load_acquire(&b->in)) != 0)
            shared_wait_on(&b->in, in, TIMER_NEVER, PARK_BARRIER);
    return 0;
}
