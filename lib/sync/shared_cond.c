/* Process-shared condition variables: glibc's protocol (2.25 to 2.40), because the other process may run
 * without us.
 *
 * Every waiter draws a number from a sequence. Waiters are in one of two groups: G1 is being signalled,
 * newcomers join G2. Each has a futex word with the signals that can still be had (in units of 2; 1:
 * closed). When G1 has nobody left to signal, a signaller closes it, waits until nobody uses its futex
 * word any more, and swaps the roles. sequence and g1_start carry in bit 0 which slot is G2. g1_size
 * counts in units of 4 below which its lock lies: 0 free, 1 held, 2 held and awaited. refs: users of the
 * object in units of 8, who wants to destroy it in bit 2, clock and process-shared in the bits that struct
 * cond names.
 *
 * Other versions of glibc may do it differently. So before the first use libc's own signal is tried on
 * made-up objects and must do what ours does (shared_cond_known); if not, the shim lets libc do it all.
 *
 * Called on the program's stacks, outside the runtime. */
#include "sync/sync.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

struct shared {
    _Atomic uint64_t sequence, g1_start;
    _Atomic uint32_t group_refs[2];
    uint32_t left[2]; /* not signalled yet; modulo 2^32; lock */
    _Atomic uint32_t g1_size, refs, signals[2];
};

#define CLOSED     1u
#define SIGNAL     2u
#define GROUP_REF  2u
#define WAKE_LAST  1u /* in group_refs: a signaller waits for 0 */
#define REF        8u
#define DESTROYING 4u
#define MOST       (1u << 29) /* waiters that leave one group early */

static void lock_cond(struct shared *c)
{
    uint32_t s = load_relaxed(&c->g1_size);
    while (!(s & 3))
        if (cas_acquire(&c->g1_size, &s, s | 1))
            return;
    for (;;) {
        uint32_t awaited = (s & ~3u) | 2;
        if ((s & 3) == 2 || cas_acquire(&c->g1_size, &s, awaited)) {
            if (!(s & 3))
                return;
            shared_wait_on(&c->g1_size, awaited, TIMER_NEVER, PARK_MUTEX);
            s = load_relaxed(&c->g1_size);
        }
    }
}

static void unlock_cond(struct shared *c)
{
    if ((atomic_fetch_and_explicit(&c->g1_size, ~3u, memory_order_release) & 3) == 2)
        shared_wake(&c->g1_size, 1);
}

static uint32_t size_of_g1(struct shared *c)
{
    return load_relaxed(&c->g1_size) >> 2;
}

static void set_size_of_g1(struct shared *c, uint32_t size)
{
    uint32_t s = load_relaxed(&c->g1_size);
    while (!cas_release(&c->g1_size, &s, size << 2 | (s & 3))) /* its lock may become awaited */
        ;
}

static void leave_group(struct shared *c, uint32_t g)
{
    /* Release, partner: the acquire in next_group. */
    if (atomic_fetch_sub_explicit(&c->group_refs[g], GROUP_REF, memory_order_acq_rel) ==
        (GROUP_REF | WAKE_LAST)) {
        atomic_fetch_and_explicit(&c->group_refs[g], ~WAKE_LAST, memory_order_relaxed);
        shared_wake(&c->group_refs[g], INT_MAX);
    }
}

/* Locked, and nobody left to signal in G1: makes G2 the new G1. False: no waiter there. */
static bool next_group(struct shared *c, uint64_t sequence, uint32_t *g1)
{
    uint32_t old = *g1, new = old ^ 1, size = size_of_g1(c);
    uint64_t start = load_relaxed(&c->g1_start) >> 1;
    if ((uint32_t)(sequence - start - size) + c->left[new] == 0)
        return false;
    /* Nobody begins to wait on its word any more; wait for those who do. */
    atomic_fetch_or_explicit(&c->signals[old], CLOSED, memory_order_relaxed);
    uint32_t refs = atomic_fetch_or_explicit(&c->group_refs[old], 0, memory_order_acq_rel);
    while (refs >> 1) {
        refs = atomic_fetch_or_explicit(&c->group_refs[old], WAKE_LAST, memory_order_relaxed) |
               WAKE_LAST;
        if (refs >> 1)
            shared_wait_on(&c->group_refs[old], refs, TIMER_NEVER, PARK_MUTEX);
        refs = load_acquire(&c->group_refs[old]);
    }
    add_relaxed(&c->g1_start, ((uint64_t)size << 1) + (old ? 1 : (uint64_t)-1));
    store_release(&c->signals[old], 0); /* partner: a waiter's acquire of signals */
    sequence = atomic_fetch_xor_explicit(&c->sequence, 1, memory_order_release) >> 1;
    uint32_t now = (uint32_t)(sequence - (start + size));
    set_size_of_g1(c, now);
    c->left[new] += now; /* less those who gave up while it was G2 */
    *g1 = new;
    return c->left[new] != 0;
}

static int wake(struct shared *c, bool all)
{
    if (!(load_relaxed(&c->refs) / REF))
        return 0;
    lock_cond(c);
    uint64_t sequence = load_relaxed(&c->sequence);
    uint32_t g1 = (sequence & 1) ^ 1;
    bool pending = c->left[g1] != 0;
    if (pending && all) {
        add_relaxed(&c->signals[g1], c->left[g1] * SIGNAL);
        c->left[g1] = 0;
        shared_wake(&c->signals[g1], INT_MAX); /* they must leave before the groups can change */
        pending = false;
    }
    if (!pending)
        pending = next_group(c, sequence >> 1, &g1);
    if (pending) {
        uint32_t n = all ? c->left[g1] : 1;
        add_relaxed(&c->signals[g1], n * SIGNAL);
        c->left[g1] -= n;
    }
    unlock_cond(c);
    if (pending)
        shared_wake(&c->signals[g1], all ? INT_MAX : 1);
    return 0;
}

int shared_cond_signal(struct cond *c)
{
    return wake((struct shared *)c, false);
}

int shared_cond_broadcast(struct cond *c)
{
    return wake((struct shared *)c, true);
}

int shared_cond_destroy(struct cond *cond)
{
    struct shared *c = (struct shared *)cond;
    uint32_t refs = atomic_fetch_or_explicit(&c->refs, DESTROYING, memory_order_acquire) |
                    DESTROYING;
    while (refs / REF) {
        shared_wait_on(&c->refs, refs, TIMER_NEVER, PARK_MUTEX);
        refs = load_acquire(&c->refs);
    }
    return 0;
}

/* A waiter gives up: its group gets smaller, or somebody else gets the signal that was meant for it. */
static void give_up(struct shared *c, uint64_t place, uint32_t g)
{
    lock_cond(c);
    uint64_t start = load_relaxed(&c->g1_start) >> 1;
    bool signalled = false, all = false;
    if (start > place)
        signalled = true; /* the group is closed: it had a signal for everybody */
    else if (start + size_of_g1(c) <= place && c->left[g] + MOST == 0)
        all = true; /* the count would overflow: start afresh */
    else if (start + size_of_g1(c) > place && c->left[g] == 0)
        signalled = true;
    else
        c->left[g]--;
    unlock_cond(c);
    if (signalled || all)
        wake(c, all);
}

/* A signal was taken, but the waiter's group had been closed: it may have been a newer group's, which
 * shares the word. Puts one back; at worst somebody wakes for nothing. */
static void put_back(struct shared *c, uint32_t g, uint64_t start)
{
    if ((uint32_t)((start & 1) ^ 1) != g)
        return;
    uint32_t s = load_relaxed(&c->signals[g]);
    while (load_relaxed(&c->g1_start) == start)
        if (s & CLOSED || cas_seq(&c->signals[g], &s, s + SIGNAL)) {
            shared_wake(&c->signals[g], 1);
            return;
        }
}

/* With the place drawn: returns when signalled (0), -ETIMEDOUT or -EINTR. */
static int wait_for_signal(struct shared *c, uint64_t place, uint32_t g, uint64_t deadline)
{
    uint32_t signals = load_acquire(&c->signals[g]);
    for (;;) {
        if (signals & CLOSED)
            return 0;
        if (signals) {
            if (!cas_acquire(&c->signals[g], &signals, signals - SIGNAL))
                continue;
            uint64_t start = load_relaxed(&c->g1_start);
            if (place < start >> 1)
                put_back(c, g, start);
            return 0;
        }
        /* Acquire, partner: the read-modify-write of group_refs in next_group. */
        atomic_fetch_add_explicit(&c->group_refs[g], GROUP_REF, memory_order_acquire);
        if (load_acquire(&c->signals[g]) & CLOSED || place < load_relaxed(&c->g1_start) >> 1) {
            leave_group(c, g);
            return 0;
        }
        int err = shared_wait(&c->signals[g], 0, deadline, PARK_COND);
        if (err == -EINTR && !(load_relaxed(&fiber_current()->attention) & ATTENTION_CANCEL))
            err = 0;       /* signal handlers ran, and the wait goes on */
        leave_group(c, g); /* before the lock is taken: its holder may wait for this */
        if (err == -ETIMEDOUT || err == -EINTR) {
            give_up(c, place, g);
            return err;
        }
        signals = load_acquire(&c->signals[g]);
    }
}

int shared_cond_wait(struct cond *cond, struct mutex *m, uint64_t deadline)
{
    struct shared *c = (struct shared *)cond;
    /* Acquire, partner: the exchange of roles in next_group. */
    uint64_t drawn = atomic_fetch_add_explicit(&c->sequence, 2, memory_order_acquire);
    uint32_t g = drawn & 1, count = m->count;
    add_relaxed(&c->refs, REF);
    bool recursive = (m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_RECURSIVE;
    if (recursive)
        m->count = 1; /* given up altogether, whatever the depth */
    int failed = mutex_unlock(m), err = 0;
    if (failed)
        give_up(c, drawn >> 1, g);
    else
        err = wait_for_signal(c, drawn >> 1, g, deadline);
    /* The last touch: it may be destroyed from here on. */
    uint32_t refs = atomic_fetch_sub_explicit(&c->refs, REF, memory_order_acq_rel);
    if (refs / REF == 1 && refs & DESTROYING)
        shared_wake(&c->refs, INT_MAX);
    if (!failed)
        failed = mutex_lock(m);
    if (failed && failed != -EOWNERDEAD) {
        return failed;
    }
    if (recursive)
        m->count = count;
    return failed ? failed : err;
}

/* ---- is it the protocol of this libc? ---- */

static bool compare(void)
{
    struct shared ours, libcs;
    memset(&ours, 0, sizeof ours);
    memset(&libcs, 0, sizeof libcs);
    /* Rounds of waiters that come and are signalled one by one; waiting is only counted. */
    static const uint8_t come[] = { 1, 2, 0, 1, 3, 0, 0, 2, 0, 0, 0 };
    for (size_t i = 0; i < sizeof come; i++) {
        ours.sequence += 2u * come[i];
        ours.refs += REF * come[i];
        libcs.sequence += 2u * come[i];
        libcs.refs += REF * come[i];
        wake(&ours, false);
        sync_real.cond_signal((pthread_cond_t *)&libcs);
        if (memcmp(&ours, &libcs, sizeof ours) != 0)
            return false;
    }
    return true;
}

bool shared_cond_known(void)
{
    static _Atomic int known; /* 1 yes, -1 no */
    int k = load_relaxed(&known);
    if (unlikely(!k)) {
        k = sync_real.cond_signal && compare() ? 1 : -1;
        store_relaxed(&known, k);
    }
    return k > 0;
}
