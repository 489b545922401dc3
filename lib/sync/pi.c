/* The priority-inheritance operations of futex(2) on private words: FUTEX_LOCK_PI, FUTEX_UNLOCK_PI,
 * FUTEX_TRYLOCK_PI. Robust mutexes with priority inheritance (robust.c) wait by them, too.
 *
 * The program writes its thread's tid into the word by itself, with compare-and-swap, and calls only if
 * that fails. The tid is what gettid(2) answers, which for a fiber is not one of the kernel's. So while
 * somebody waits there is a second word, the shadow, in which the same owner stands with the tid of his
 * kernel thread, and on which the kernel does what it is for: it queues by priority, lends the owner what
 * the highest waiter has, follows chains, finds deadlocks, and passes a dead owner's lock on. For that the
 * owner and who waits are given kernel threads of their own (sync_real.bind, bind_tid); a fiber that never
 * meets another one in such a lock is left alone.
 *
 * Invariants, under `lock`: there is an entry for a word exactly while somebody is in a call about it
 * (refs). The shadow names the kernel thread of whom the word names; or the word is FUTEX_WAITERS and no
 * tid: it is being handed over, and whoever gets the shadow writes himself into the word. Nobody else can
 * take it meanwhile, as the program's compare-and-swap wants 0. FUTEX_WAITERS stays in the word of an owner
 * who got it by waiting, as in the kernel.
 *
 * Called on the program's stacks, outside the runtime. The calls on the shadow block the kernel thread,
 * which the caller has for himself; signal handlers run meanwhile, and one that leaves by longjmp leaves
 * the entry behind, which costs later calls a look and nothing else. */
#include "sync/sync.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "arch/clock.h"
#include "arch/syscall.h"

#define LOCK_PI2 13 /* FUTEX_LOCK_PI with a choice of clocks, Linux 5.14 */
#define LISTS    64u
#define CHUNK    65536u

struct entry {
    struct entry *next;
    const void *key;
    _Atomic uint32_t shadow;
    uint32_t refs;
};

static struct lock lock;
static struct entry *lists[LISTS], *free_list; /* entries are never unmapped */

static struct entry **list_of(const void *key)
{
    return &lists[((uintptr_t)key >> 2) * 0x9e3779b97f4a7c15ull >> 58];
}

static struct entry *find(const void *key)
{
    struct entry *e = *list_of(key);
    while (e && e->key != key)
        e = e->next;
    return e;
}

static struct entry *make(const void *key, uint32_t shadow)
{
    if (!free_list) {
        long at = sys_call(SYS_mmap, NULL, CHUNK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at < 0 && at > -4096)
            return NULL;
        for (struct entry *e = (struct entry *)at; e + 1 <= (struct entry *)(at + CHUNK); e++) {
            e->next = free_list;
            free_list = e;
        }
    }
    struct entry *e = free_list;
    free_list = e->next;
    e->key = key;
    e->refs = 0;
    store_relaxed(&e->shadow, shadow);
    e->next = *list_of(key);
    *list_of(key) = e;
    return e;
}

static void enter(struct fiber *self)
{
    runtime_enter(self);
    lock_acquire(&lock);
}

static void leave(struct fiber *self)
{
    lock_release(&lock);
    runtime_leave(self);
}

/* The end of a call about e, locked. */
static void put(struct entry *e, _Atomic uint32_t *word)
{
    if (--e->refs)
        return;
    /* Nobody came for what was being handed over. */
    for (uint32_t old = load_relaxed(word); (old & FUTEX_WAITERS) && !(old & FUTEX_TID_MASK);)
        if (cas_seq(word, &old, old & FUTEX_OWNER_DIED))
            break;
    struct entry **at = list_of(e->key);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->next = free_list;
    free_list = e;
}

static bool has_kernel_thread(struct fiber *self)
{
    return load_relaxed(&self->flags) & FIBER_DIRECT;
}

/* Nobody owns the word, and nobody is in a call about it: takes it, without a lock of the kernel's. */
static bool take(_Atomic uint32_t *word, uint32_t seen, uint32_t tid)
{
    return cas_seq(word, &seen, (seen & FUTEX_OWNER_DIED) | tid);
}

/* The caller, who has a kernel thread, queues up for the shadow. */
static long wait_for(struct fiber *self, struct entry *e, _Atomic uint32_t *word, uint32_t op,
                     const struct timespec *until)
{
    long r = sys_call(SYS_futex, &e->shadow, op, 0, until);
    enter(self);
    if (!r) {
        uint32_t bits = FUTEX_WAITERS | (load_relaxed(&e->shadow) & FUTEX_OWNER_DIED);
        uint32_t old = load_relaxed(word);
        while (!cas_seq(word, &old, (old & FUTEX_OWNER_DIED) | bits | self->tid))
            ;
    }
    put(e, word);
    leave(self);
    return r;
}

long pi_lock(_Atomic uint32_t *word, uint32_t op, const struct timespec *until)
{
    struct fiber *self = fiber_current();
    for (bool handed_over = false;;) {
        uint32_t seen = load_seq(word), owner = seen & FUTEX_TID_MASK;
        long ktid = 0;
        if (owner == self->tid)
            return -EDEADLK;
        if (owner) {
            ktid = sync_real.bind_tid(owner, true);
            if (ktid < 0 && load_seq(word) != seen)
                continue; /* it was given up, and he has ended since */
            if (ktid < 0)
                return ktid;
        }
        int err = (owner || handed_over) && !has_kernel_thread(self) ? sync_real.bind(self) : 0;
        if (err)
            return err;
        enter(self);
        struct entry *e = find(word);
        handed_over = e;
        if (load_seq(word) != seen || (e && !has_kernel_thread(self)) ||
            (owner && !(seen & FUTEX_WAITERS) && !cas_seq(word, &seen, seen | FUTEX_WAITERS))) {
            leave(self);
            continue;
        }
        if (!owner && !e) {
            bool taken = take(word, seen, self->tid);
            leave(self);
            if (taken)
                return 0;
            continue;
        }
        if (!e && !(e = make(word, (uint32_t)ktid | FUTEX_WAITERS))) {
            leave(self);
            return -ENOMEM;
        }
        e->refs++;
        leave(self);
        return wait_for(self, e, word, op, until);
    }
}

long pi_lock_until(_Atomic uint32_t *word, uint64_t deadline)
{
    struct timespec until, now;
    if (deadline == TIMER_NEVER)
        return pi_lock(word, FUTEX_LOCK_PI_PRIVATE, NULL);
    until = (struct timespec){ (time_t)(deadline / NSEC_PER_SEC), (long)(deadline % NSEC_PER_SEC) };
    long r = pi_lock(word, LOCK_PI2 | FUTEX_PRIVATE_FLAG, &until);
    if (r != -ENOSYS)
        return r;
    /* By the other clock, which may be set meanwhile. */
    uint64_t mono = timer_now();
    arch_clock(CLOCK_REALTIME, &now);
    uint64_t t = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec +
                 (deadline > mono ? deadline - mono : 0);
    until = (struct timespec){ (time_t)(t / NSEC_PER_SEC), (long)(t % NSEC_PER_SEC) };
    return pi_lock(word, FUTEX_LOCK_PI_PRIVATE, &until);
}

long pi_trylock(_Atomic uint32_t *word)
{
    struct fiber *self = fiber_current();
    for (;;) {
        uint32_t seen = load_seq(word), owner = seen & FUTEX_TID_MASK;
        if (owner == self->tid)
            return -EDEADLK;
        if (owner) {
            long r = sync_real.bind_tid(owner, false);
            if (r < 0 && load_seq(word) != seen)
                continue;
            return r < 0 ? r : -EAGAIN;
        }
        enter(self);
        bool queue = find(word), taken = !queue && take(word, seen, self->tid);
        leave(self);
        if (taken)
            return 0;
        if (queue)
            return -EAGAIN;
    }
}

long pi_release(_Atomic uint32_t *word, uint32_t bits)
{
    struct fiber *self = fiber_current();
    for (;;) {
        uint32_t seen = load_seq(word);
        if ((seen & FUTEX_TID_MASK) != self->tid)
            return -EPERM;
        enter(self);
        struct entry *e = find(word);
        if (!e) {
            bool done = cas_seq(word, &seen, bits);
            leave(self);
            if (done)
                return 0;
            continue;
        }
        if (!has_kernel_thread(self)) {
            /* Somebody waits, so we have been given one; the shadow can be given up only there. */
            leave(self);
            int err = sync_real.bind(self);
            if (err)
                return err;
            continue;
        }
        if (!cas_seq(word, &seen, FUTEX_WAITERS | bits)) {
            leave(self);
            continue;
        }
        e->refs++;
        leave(self);
        long r; /* -EAGAIN: the first waiter has just announced himself in the shadow */
        do
            r = sys_call(SYS_futex, &e->shadow, FUTEX_UNLOCK_PI_PRIVATE);
        while (r == -EAGAIN);
        enter(self);
        put(e, word);
        leave(self);
        return r;
    }
}

void pi_after_fork(void)
{
    lock_init(&lock);
    memset(lists, 0, sizeof lists);
    free_list = NULL;
}
