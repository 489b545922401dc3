/* Robust mutexes (pthread_mutexattr_setrobust(3)).
 *
 * The lock word is the kernel's format: tid of the owner, FUTEX_WAITERS, FUTEX_OWNER_DIED. Who holds
 * one is linked in a list, and what a thread still holds when it ends is marked OWNER_DIED: by us for a
 * thread that ends (robust_end), by the kernel when the process dies. The kernel walks one list for each
 * of its own threads and believes an entry only if the word shows that very thread's tid. Fibers are not
 * the kernel's threads. So the process-shared mutexes of all of this process's threads are in one list,
 * that of the process's first kernel thread, which lives as long as the process does; their words show
 * its tid, the process id; and mutex.users tells which thread it is. That list is libc's own for the
 * main thread, in libc's format. Private ones need no kernel: they show the thread's tid, in a list of
 * ours.
 *
 * Invariants. Both lists change under `lock`. A shared mutex is the list's `pending` from before its
 * word shows us until it is linked, and from before it is unlinked until a waiter was woken, so there is
 * no instruction between which a SIGKILL leaves it locked. A waiter that was woken and dies before it has
 * the mutex would take the wake-up with it; the kernel passes it on if the mutex is the pending one of
 * the kernel thread that dies. So who waits for a shared one does it on a kernel thread of its own, not
 * in the ring, but only one of a process at a time for each mutex: the others queue here for their turn
 * (struct turn).
 *
 * With priority inheritance the private ones wait by pi.c, and show the thread's tid like the others. For
 * shared ones the kernel would have to find the owner's kernel thread in the word; they are refused.
 *
 * When all threads are the kernel's (sync_real.direct) libc's own code is right and is used.
 * Called on the program's stacks, outside the runtime. */
#include "sync/sync.h"

#include <errno.h>
#include <linux/futex.h>
#include "arch/syscall.h"
#include "base/log.h"

#define TID             FUTEX_TID_MASK
#define INCONSISTENT    0x7fffffffu /* glibc's marks in owner */
#define NOT_RECOVERABLE 0x7ffffffeu

struct head {
    void *prev; /* before the kernel's part, as in libc */
    struct robust_list_head list;
};

static struct lock lock;
#define EMPTY(h)                                                                                   \
    {                                                                                              \
        &(h).list,                                                                                 \
        {                                                                                          \
            .list = {(struct robust_list *)&(h).list }                                             \
        }                                                                                          \
    }
static struct head private_head = EMPTY(private_head);
static struct head nobodys_head = EMPTY(nobodys_head); /* if libc has registered no list */
static _Atomic(struct head *) shared_head;             /* NULL: not looked up yet */

static struct robust_node *node_at(void *link)
{
    return container_of((void **)((uintptr_t)link & ~1ul), struct robust_node, next);
}

static struct head *head_of(const struct mutex *m)
{
    if (!(m->kind & MUTEX_SHARED))
        return &private_head;
    struct head *h = load_relaxed(&shared_head);
    if (unlikely(!h)) {
        struct robust_list_head *list = NULL;
        size_t size;
        sys_call(SYS_get_robust_list, shared_owner(), &list, &size);
        h = list ? container_of(list, struct head, list) : &nobodys_head;
        store_relaxed(&shared_head, h);
    }
    return h;
}

static void link_in(struct head *h, struct mutex *m)
{
    struct robust_node *n = &m->node;
    n->next = h->list.list.next;
    n->prev = &h->list;
    node_at(n->next)->prev = &n->next;
    fence_compiler(); /* the kernel's view of a killed process: next before the head */
    h->list.list.next = (struct robust_list *)&n->next;
}

static void unlink_from(struct mutex *m)
{
    struct robust_node *n = &m->node;
    node_at(n->next)->prev = n->prev;
    node_at(n->prev)->next = n->next;
    n->prev = n->next = NULL;
}

/* Between these the mutex is its list's pending one. */
static void *begin(struct head *h, struct mutex *m)
{
    lock_acquire(&lock);
    void *before = h->list.list_op_pending; /* of a wait on this very thread, if it has one */
    h->list.list_op_pending = (void *)&m->node.next;
    fence_compiler();
    return before;
}

static void end(struct head *h, void *before)
{
    fence_compiler();
    h->list.list_op_pending = before;
    lock_release(&lock);
}

static uint32_t id_of(const struct mutex *m, const struct fiber *self)
{
    return m->kind & MUTEX_SHARED ? shared_owner() : self->tid;
}

static bool owned(struct mutex *m, const struct fiber *self)
{
    if ((load_relaxed(&m->lock) & TID) != id_of(m, self))
        return false;
    return !(m->kind & MUTEX_SHARED) || m->users == self->tid;
}

/* The word shows no owner: takes it. False: somebody was faster. Not outside the runtime, unless on a
 * kernel thread of its own. */
static bool take(struct mutex *m, struct fiber *self, uint32_t old, uint32_t waiters)
{
    struct head *h = head_of(m);
    void *before = begin(h, m);
    bool taken = cas_acquire(&m->lock, &old, id_of(m, self) | (old & FUTEX_WAITERS) | waiters);
    if (taken) {
        m->users = m->kind & MUTEX_SHARED ? self->tid : 1;
        link_in(h, m);
        self->robust++;
    }
    end(h, before);
    return taken;
}

/* With inheritance, which only private ones have: the word is ours already. */
static void took(struct mutex *m, struct fiber *self)
{
    struct head *h = head_of(m);
    runtime_enter(self);
    void *before = begin(h, m);
    m->users = 1;
    link_in(h, m);
    end(h, before);
    runtime_leave(self);
    self->robust++;
}

/* Gives it up, leaving `owner` behind. */
static void give_up(struct mutex *m, struct fiber *self, uint32_t owner)
{
    bool shared = m->kind & MUTEX_SHARED;
    struct head *h = head_of(m);
    uint32_t mine = self->tid;
    runtime_enter(self);
    void *before = begin(h, m);
    unlink_from(m);
    store_relaxed(&m->owner, owner);
    m->users = 0;
    if (m->kind & MUTEX_INHERIT) {
        end(h, before);
        runtime_leave(self);
        self->robust--;
        if (!cas_release(&m->lock, &mine, 0))
            pi_release(&m->lock, 0);
        return;
    }
    uint32_t old = atomic_exchange_explicit(&m->lock, 0, memory_order_seq_cst);
    if (shared && old & FUTEX_WAITERS)
        shared_wake(&m->lock, 1); /* still pending: we may die before this */
    end(h, before);
    runtime_leave(self);
    self->robust--;
    if (!shared && old & FUTEX_WAITERS)
        waitq_wake(m, 1, WAITQ_ANY);
}

/* ---- waiting ---- */

/* One thread of the process at a time waits in the kernel for a shared robust mutex. Both records are in
 * the bucket of an address inside the mutex: `hold` while it is this one's turn. */
struct turn {
    struct waiter queue, hold;
};

static const void *turn_key(const struct mutex *m)
{
    return (const char *)m + 1;
}

static void turn_hold(struct bucket *b, struct turn *t, const void *key)
{
    t->hold = (struct waiter){ .key = key, .tag = 1 };
    list_push_front(&b->waiters, &t->hold.node);
    add_relaxed(&b->count, 1);
}

static int turn_begin(struct fiber *self, struct mutex *m, struct turn *t, uint64_t deadline)
{
    const void *key = turn_key(m);
    struct bucket *b = waitq_enter(self, key);
    if (waitq_first(b, key)) {
        t->queue = (struct waiter){ .bits = WAITQ_ANY };
        return waitq_park(self, b, &t->queue, key, false, deadline, PARK_MUTEX);
    }
    turn_hold(b, t, key);
    waitq_leave(self, b);
    return 0;
}

static void turn_end(struct fiber *self, struct mutex *m, struct turn *t)
{
    const void *key = turn_key(m);
    struct bucket *b = waitq_bucket(key);
    struct wake_list woken = { 0 };
    waitq_lock(self, b);
    waitq_take(b, &t->hold);
    struct waiter *next = waitq_first(b, key);
    if (next) {
        waitq_take(b, next);
        turn_hold(b, container_of(next, struct turn, queue), key);
        wake_list_add(&woken, next);
    }
    waitq_unlock_and_wake(self, b, &woken);
}

/* With the turn: waits on a kernel thread that knows what it waits for. */
static int wait_in_kernel(struct fiber *self, struct mutex *m, uint32_t seen, uint64_t deadline)
{
    struct robust_list_head *mine = NULL;
    size_t size;
    struct timespec ts = { (time_t)(deadline / NSEC_PER_SEC), (long)(deadline % NSEC_PER_SEC) };
    bool direct = load_relaxed(&self->flags) & FIBER_DIRECT;
    if (!direct)
        sync_real.block(self);
    sys_call(SYS_get_robust_list, 0, &mine, &size);
    if (mine)
        mine->list_op_pending = (void *)&m->node.next;
    long r = sys_call(SYS_futex, &m->lock, FUTEX_WAIT_BITSET, seen,
                      deadline == TIMER_NEVER ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
    /* Tried here, while a death would still pass the wake-up on. */
    uint32_t now = load_relaxed(&m->lock);
    int err = r == -ETIMEDOUT ? -ETIMEDOUT : -EAGAIN;
    if (!(now & TID) && take(m, self, now, FUTEX_WAITERS))
        err = now & FUTEX_OWNER_DIED ? -EOWNERDEAD : 0;
    if (mine)
        mine->list_op_pending = NULL;
    if (!direct)
        sync_real.unblock(self);
    return err;
}

/* Locks itself out. */
static int wait_in_vain(uint64_t deadline)
{
    _Atomic uint32_t word = 0;
    int err;
    while ((err = waitq_wait(&word, 0, WAITQ_ANY, deadline, PARK_MUTEX)) != -ETIMEDOUT)
        if (err == -EINTR)
            sched_wait_interrupted(fiber_current());
    return -ETIMEDOUT;
}

/* Waits for it where the kernel lends the owner what the waiter has. 0, -EOWNERDEAD, or as wait_for. */
static int wait_and_lend(struct fiber *self, struct mutex *m, uint64_t deadline)
{
    long r = pi_lock_until(&m->lock, deadline);
    if (r == -EDEADLK || r == -ESRCH)
        return wait_in_vain(deadline);
    if (r)
        return r == -ETIMEDOUT || r == -ENOMEM ? (int)r : -EAGAIN;
    took(m, self);
    uint32_t old = atomic_fetch_and_explicit(&m->lock, ~FUTEX_OWNER_DIED, memory_order_relaxed);
    return old & FUTEX_OWNER_DIED ? -EOWNERDEAD : 0;
}

/* Waits while the word is seen. 0 or -EOWNERDEAD: it is ours; -EAGAIN: look again; -ETIMEDOUT. */
static int wait_for(struct fiber *self, struct mutex *m, uint32_t seen, uint64_t deadline)
{
    if (!(m->kind & MUTEX_SHARED)) {
        int err = waitq_wait(&m->lock, seen, WAITQ_ANY, deadline, PARK_MUTEX);
        if (err == -EINTR)
            sched_wait_interrupted(self);
        return err == -ETIMEDOUT ? err : -EAGAIN;
    }
    struct turn t;
    int err = turn_begin(self, m, &t, deadline);
    if (err == -EINTR)
        sched_wait_interrupted(self);
    if (err)
        return err == -ETIMEDOUT ? err : -EAGAIN;
    err = wait_in_kernel(self, m, seen, deadline);
    turn_end(self, m, &t);
    return err;
}

/* ---- the operations ---- */

static bool impossible(const struct mutex *m)
{
    const int32_t all = MUTEX_ROBUST | MUTEX_INHERIT | MUTEX_SHARED;
    return (m->kind & all) == all && !sync_real.direct;
}

void robust_init(struct mutex *m)
{
    static _Atomic bool told;
    if (!impossible(m))
        return;
    m->kind &= ~MUTEX_INHERIT;
    if (!atomic_exchange(&told, true))
        log_unsupported(
            "a robust mutex between processes is made without priority inheritance, which would "
            "need a kernel thread for each owner; RADDLE_BOUND=all has it");
}

/* libc's function wants a clock again. */
static int libc_lock(struct mutex *m, uint64_t deadline)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)m;
    if (deadline == TIMER_NEVER)
        return -sync_real.mutex_lock(mutex);
    struct timespec ts = { (time_t)(deadline / NSEC_PER_SEC), (long)(deadline % NSEC_PER_SEC) };
    return -sync_real.mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts);
}

int robust_lock(struct mutex *m, uint64_t deadline, bool trying)
{
    if (unlikely(impossible(m))) /* another process made it, without us */
        return -ENOTSUP;
    if (unlikely(sync_real.direct))
        return trying ? -sync_real.mutex_trylock((pthread_mutex_t *)m) : libc_lock(m, deadline);
    struct fiber *self = fiber_current();
    if (owned(m, self)) {
        switch (m->kind & MUTEX_TYPE) {
        case PTHREAD_MUTEX_ERRORCHECK:
            return -EDEADLK;
        case PTHREAD_MUTEX_RECURSIVE:
            return mutex_again(m);
        }
    }
    uint32_t waiters = 0; /* others may wait as we did, unseen */
    int err = -EAGAIN;
    while (err == -EAGAIN) {
        uint32_t now = load_relaxed(&m->lock);
        if (!(now & TID) && !(now & FUTEX_WAITERS && m->kind & MUTEX_INHERIT)) {
            runtime_enter(self);
            bool taken = take(m, self, now, waiters);
            runtime_leave(self);
            if (taken)
                err = now & FUTEX_OWNER_DIED ? -EOWNERDEAD : 0;
        } else if (trying) {
            return -EBUSY;
        } else if (m->kind & MUTEX_INHERIT) {
            err = wait_and_lend(self, m, deadline);
        } else if (now & FUTEX_WAITERS || cas_seq(&m->lock, &now, now | FUTEX_WAITERS)) {
            waiters = FUTEX_WAITERS;
            err = wait_for(self, m, now | FUTEX_WAITERS, deadline);
        }
    }
    if (err && err != -EOWNERDEAD)
        return err;
    if (!err && load_relaxed(&m->owner) == NOT_RECOVERABLE) {
        give_up(m, self, NOT_RECOVERABLE);
        return -ENOTRECOVERABLE;
    }
    m->count = 1;
    store_relaxed(&m->owner, err ? INCONSISTENT : id_of(m, self));
    return err;
}

int robust_unlock(struct mutex *m)
{
    if (unlikely(sync_real.direct))
        return -sync_real.mutex_unlock((pthread_mutex_t *)m);
    struct fiber *self = fiber_current();
    if (!owned(m, self))
        return -EPERM;
    bool recursive = (m->kind & MUTEX_TYPE) == PTHREAD_MUTEX_RECURSIVE;
    bool inconsistent = load_relaxed(&m->owner) == INCONSISTENT;
    if (recursive && --m->count)
        return 0;
    give_up(m, self, inconsistent ? NOT_RECOVERABLE : 0);
    return 0;
}

int robust_consistent(struct mutex *m)
{
    if (unlikely(sync_real.direct))
        return -sync_real.mutex_consistent((pthread_mutex_t *)m);
    if (!(m->kind & MUTEX_ROBUST) || load_relaxed(&m->owner) != INCONSISTENT)
        return -EINVAL;
    store_relaxed(&m->owner, id_of(m, fiber_current()));
    return 0;
}

/* The oldest mutex of the list that self holds, marked and unlinked. */
static struct mutex *abandon_one(struct fiber *self, struct head *h, bool shared, uint32_t *before)
{
    for (void *link = h->list.list.next; link != (void *)&h->list; link = node_at(link)->next) {
        struct mutex *m = container_of(node_at(link), struct mutex, node);
        uint32_t word = load_relaxed(&m->lock);
        if (shared ? m->users != self->tid : (word & TID) != self->tid)
            continue;
        unlink_from(m);
        while (!(m->kind & MUTEX_INHERIT) &&
               !cas_seq(&m->lock, &word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED))
            ;
        *before = word;
        return m;
    }
    return NULL;
}

void robust_end(struct fiber *self)
{
    for (int shared = 0; self->robust && shared < 2; shared++) {
        struct head *h = shared ? load_relaxed(&shared_head) : &private_head;
        if (!h)
            continue;
        for (;;) {
            uint32_t word = 0;
            runtime_enter(self);
            lock_acquire(&lock);
            struct mutex *m = abandon_one(self, h, shared, &word);
            lock_release(&lock);
            runtime_leave(self);
            if (!m)
                break;
            if (m->kind & MUTEX_INHERIT) {
                pi_release(&m->lock, FUTEX_OWNER_DIED);
            } else if (word & FUTEX_WAITERS) {
                if (shared)
                    shared_wake(&m->lock, 1);
                else
                    waitq_wake(m, 1, WAITQ_ANY);
            }
        }
    }
    self->robust = 0;
}

void robust_after_fork(struct fiber *self)
{
    /* libc has made the child's list, an empty one; what we held is still the parent's. */
    lock_init(&lock);
    self->robust = 0;
    store_relaxed(&shared_head, NULL);
    private_head = (struct head)EMPTY(private_head);
    nobodys_head = (struct head)EMPTY(nobodys_head);
}
