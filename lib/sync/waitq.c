/* The hash table of waiters, and adoption of foreign threads.
 *
 * Invariants: a waiter is linked in the bucket of its key exactly while its result is QUEUED, and
 * all of that changes under the bucket's lock. The parker checks its condition and links itself
 * under the lock, and the lock is released only after its registers are saved (park.c); so a waker
 * that changed the condition before taking the lock either finds it queued or made it not park.
 * waitq_enter raises count before the condition is read, and wakers change the object before they
 * read count (both sequentially consistent): a waker that reads 0 has changed the object early
 * enough for the parker to see it.
 *
 * Called on fibers' and kernel threads' stacks; expire on scheduler stacks. */
#include "sync/waitq.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "arch/clock.h"
#include "arch/syscall.h"
#include "sync/sync.h"

#define BUCKETS 4096u

static struct bucket table[BUCKETS];

struct bucket *waitq_bucket(const void *key)
{
    uint64_t h = (uintptr_t)key >> 2;
    h *= 0x9e3779b97f4a7c15ull;
    return &table[h >> 52];
}

/* A zeroed bucket is a valid one whose list was never used. */
static void prepare(struct bucket *b)
{
    if (unlikely(!b->waiters.next))
        list_init(&b->waiters);
}

struct bucket *waitq_enter(struct fiber *self, const void *key)
{
    struct bucket *b = waitq_bucket(key);
    runtime_enter(self);
    lock_acquire(&b->lock);
    prepare(b);
    add_seq(&b->count, 1); /* before the caller reads its condition: see the invariants */
    return b;
}

void waitq_leave(struct fiber *self, struct bucket *b)
{
    atomic_fetch_sub_explicit(&b->count, 1, memory_order_relaxed);
    lock_release(&b->lock);
    runtime_leave(self);
}

struct waiter *waitq_first(struct bucket *b, const void *key)
{
    for (struct list *n = b->waiters.next; n != &b->waiters; n = n->next) {
        struct waiter *x = container_of(n, struct waiter, node);
        if (x->key == key)
            return x;
    }
    return NULL;
}

void waitq_take(struct bucket *b, struct waiter *x)
{
    list_remove(&x->node);
    x->result = WAITER_WOKEN;
    if (x->counter)
        atomic_fetch_sub_explicit(x->counter, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&b->count, 1, memory_order_relaxed);
}

bool waitq_back(struct bucket *b, struct waiter *x)
{
    if (x->round != b->round)
        return false;
    b->absent--;
    return true;
}

static void expire(struct worker *w, void *arg)
{
    struct waiter *x = arg;
    struct bucket *b = load_relaxed(
        &x->bucket); /* changes only under the lock of the old bucket (requeue) */
    for (;;) {
        lock_acquire(&b->lock);
        if (load_relaxed(&x->bucket) == b)
            break;
        lock_release(&b->lock);
        b = load_relaxed(&x->bucket);
    }
    if (x->result == WAITER_QUEUED) {
        if (x->returns && load_relaxed(&x->fiber->interrupted)) {
            list_remove(&x->node);
            atomic_fetch_sub_explicit(&b->count, 1, memory_order_relaxed);
            b->absent++;
            x->round = b->round;
            x->result = WAITER_ABSENT;
        } else {
            waitq_take(b, x);
            x->result = WAITER_EXPIRED;
        }
        sched_deliver(w ? w->proc : NULL, x->fiber);
    }
    lock_release(&b->lock);
}

static void unlock_after_switch(struct worker *w, void *arg)
{
    struct waiter *x = arg;
    (void)w;
    lock_release(
        &load_relaxed(&x->bucket)->lock); /* still locked, so x is still there and not moved */
}

int waitq_park_queued(struct fiber *self, struct bucket *b, struct waiter *x, uint64_t deadline,
                      enum park_reason reason)
{
    (void)b;
    bool early = fiber_park_interruptible(self, reason, x->key, unlock_after_switch, x, deadline,
                                          expire);
    runtime_leave(self);
    if (x->result == WAITER_WOKEN)
        return 0;
    return x->result == WAITER_ABSENT || (early && !x->returns) ? -EINTR : -ETIMEDOUT;
}

int waitq_park(struct fiber *self, struct bucket *b, struct waiter *x, const void *key, bool front,
               uint64_t deadline, enum park_reason reason)
{
    x->key = key;
    x->fiber = self;
    store_relaxed(&x->bucket, b);
    x->result = WAITER_QUEUED;
    if (front)
        list_push_front(&b->waiters, &x->node);
    else
        list_push_back(&b->waiters, &x->node);
    return waitq_park_queued(self, b, x, deadline, reason);
}

int waitq_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline,
               enum park_reason reason)
{
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_enter(self, word);
    if (load_seq(word) != expected) {
        waitq_leave(self, b);
        return -EAGAIN;
    }
    struct waiter x = { .bits = bits };
    return waitq_park(self, b, &x, word, false, deadline, reason);
}

void wake_list_add(struct wake_list *l, struct waiter *x)
{
    struct fiber *f = x->fiber;
    f->next = NULL;
    if (l->last)
        l->last->next = f;
    else
        l->first = f;
    l->last = f;
}

static void wake_list_run(struct fiber *self, struct wake_list *l)
{
    struct worker *w = load_relaxed(&self->flags) & FIBER_DIRECT ? NULL : self->worker;
    for (struct fiber *f = l->first, *next; f; f = next) {
        next = f->next;
        fiber_ready(w, f);
    }
}

void waitq_lock(struct fiber *self, struct bucket *b)
{
    runtime_enter(self);
    lock_acquire(&b->lock);
    prepare(b);
}

void waitq_unlock_and_wake(struct fiber *self, struct bucket *b, struct wake_list *l)
{
    lock_release(&b->lock);
    wake_list_run(self, l);
    runtime_leave(self);
}

static int wake_in_kernel(const void *key, int n, uint32_t bits)
{
    long r = sys_call(SYS_futex, key, FUTEX_WAKE_BITSET_PRIVATE, n, NULL, NULL, bits);
    return r > 0 ? (int)r : 0;
}

void waitq_kernel_begin(const void *key)
{
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_enter(self, key); /* raises count for good, before the kernel looks */
    b->in_kernel++;
    lock_release(&b->lock);
    runtime_leave(self);
}

void waitq_kernel_end(const void *key)
{
    struct fiber *self = fiber_current();
    struct bucket *b = waitq_bucket(key);
    waitq_lock(self, b);
    b->in_kernel--;
    waitq_leave(self, b);
}

int waitq_wake(const void *key, int n, uint32_t bits)
{
    struct bucket *b = waitq_bucket(key);
    fence_seq(); /* partner: waitq_enter's add to count */
    if (n <= 0 || !load_relaxed(&b->count))
        return 0;
    struct fiber *self = fiber_current();
    struct wake_list woken = { 0 };
    int count = 0;
    waitq_lock(self, b);
    for (struct list *node = b->waiters.next, *next; node != &b->waiters && count < n;
         node = next) {
        struct waiter *x = container_of(node, struct waiter, node);
        next = node->next;
        if (x->key != key || !(x->bits & bits))
            continue;
        waitq_take(b, x);
        wake_list_add(&woken, x);
        count++;
    }
    bool kernel = b->in_kernel;
    waitq_unlock_and_wake(self, b, &woken);
    if (unlikely(kernel) && count < n)
        count += wake_in_kernel(key, n - count, bits);
    return count;
}

int waitq_requeue(_Atomic uint32_t *from, const void *to, int n, int move, bool check,
                  uint32_t expected)
{
    struct fiber *self = fiber_current();
    struct bucket *a = waitq_bucket((const void *)from), *b = waitq_bucket(to);
    struct wake_list woken = { 0 };
    int64_t most = (int64_t)n + move, count = 0; /* each may be INT_MAX */
    runtime_enter(self);
    /* Both locks, the lower address first. */
    lock_acquire(a <= b ? &a->lock : &b->lock);
    if (a != b)
        lock_acquire(a <= b ? &b->lock : &a->lock);
    prepare(a);
    prepare(b);
    if (check && load_seq(from) != expected) {
        count = -EAGAIN;
    } else {
        for (struct list *node = a->waiters.next, *next; node != &a->waiters && count < most;
             node = next) {
            struct waiter *x = container_of(node, struct waiter, node);
            next = node->next;
            if (x->key != (const void *)from)
                continue;
            if (count++ < n) {
                waitq_take(a, x);
                wake_list_add(&woken, x);
                continue;
            }
            x->key = to;
            if (a != b) {
                list_remove(node);
                list_push_back(&b->waiters, node);
                atomic_fetch_sub_explicit(&a->count, 1, memory_order_relaxed);
                add_relaxed(&b->count, 1);
                store_relaxed(&x->bucket, b);
            }
        }
    }
    if (a != b)
        lock_release(&b->lock);
    bool kernel = a->in_kernel && count >= 0;
    waitq_unlock_and_wake(self, a, &woken);
    /* Those are woken all: they wait for several addresses, and look again. */
    if (unlikely(kernel) && count < most)
        count += wake_in_kernel((const void *)from, INT_MAX, WAITQ_ANY);
    return (int)count;
}

/* Adopted threads' fibers, kept for the next one: others may still look at one that ended. */
static struct fiber *adopted_free;
static struct lock adopted_lock;

void waitq_after_fork(void)
{
    memset(table, 0, sizeof table);
    lock_init(&adopted_lock);
    adopted_free = NULL;
}

bool deadline_from(clockid_t clock, const struct timespec *abs, uint64_t *deadline)
{
    if (abs->tv_nsec < 0 || abs->tv_nsec >= (long)NSEC_PER_SEC)
        return false;
    if (abs->tv_sec < 0) {
        *deadline = 0;
        return true;
    }
    uint64_t t = (uint64_t)abs->tv_sec >= UINT64_MAX / NSEC_PER_SEC / 2
                     ? TIMER_NEVER - 1
                     : (uint64_t)abs->tv_sec * NSEC_PER_SEC + (uint64_t)abs->tv_nsec;
    if (clock != CLOCK_MONOTONIC && t != TIMER_NEVER - 1) {
        struct timespec now;
        arch_clock(clock, &now);
        uint64_t other = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
        t = t > other ? timer_now() + (t - other) : 0;
    }
    *deadline = t;
    return true;
}

/* ---- foreign threads ---- */

static bool started;

static struct fiber *adopted_list(struct fiber *give)
{
    /* A signal handler may need one too. */
    uint64_t all = ~0ull, mask;
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, 8);
    lock_acquire(&adopted_lock);
    struct fiber *f = give ? NULL : adopted_free;
    if (give) {
        give->next = adopted_free;
        adopted_free = give;
    } else if (f) {
        adopted_free = f->next;
    }
    lock_release(&adopted_lock);
    sys_call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
    return f;
}

static _Atomic uint64_t gone_key; /* of adopted_gone, + 1; 0: none yet */

/* Robust mutexes are looked after when the program's destructors have run, some of which may unlock
 * them: in the last round that there is. */
static void adopted_gone(void *arg)
{
    struct fiber *f = arg;
    uint64_t key = load_relaxed(&gone_key);
    if (f->robust && key && f->yield_count++ < PTHREAD_DESTRUCTOR_ITERATIONS - 1 &&
        !pthread_setspecific((pthread_key_t)(key - 1), f))
        return;
    if (f->robust)
        robust_end(f);
    if (f->ceilings)
        ceiling_end(f);
    fiber_self = NULL;
    adopted_list(f);
}

extern int __cxa_thread_atexit_impl(void (*gone)(void *), void *arg, void *dso);
extern void *__dso_handle;

/* When the thread ends f goes. A key is made only when there is such a thread: the program may want all
 * of them. Its destructor may run before the program's, which may adopt the thread again; that is what
 * thread_local destructors, which run only once, are too early for. */
static void when_gone(struct fiber *f)
{
    uint64_t key = load_acquire(&gone_key), none = 0;
    pthread_key_t mine;
    if (!key && !pthread_key_create(&mine, adopted_gone)) {
        key = mine + 1ull;
        if (!cas_seq(&gone_key, &none, key)) {
            pthread_key_delete(mine);
            key = none;
        }
    }
    if (!key || pthread_setspecific((pthread_key_t)(key - 1), f))
        __cxa_thread_atexit_impl(adopted_gone, f, &__dso_handle);
}

/* A kernel thread that we did not make (SIGEV_THREAD, aio, a scheduler stack running a signal
 * handler of the program's) uses an object: it parks on a word of its own. */
struct fiber *fiber_current_slow(void)
{
    struct fiber *f = adopted_list(NULL);
    if (f)
        memset(f, 0, sizeof *f);
    else
        f = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f == MAP_FAILED)
        __builtin_trap();
    f->tp = arch_tp_get();
    f->tid = (uint32_t)sys_call(SYS_gettid);
    store_relaxed(&f->flags, FIBER_KERNEL | FIBER_FOREIGN);
    fiber_self = f;
    fence_seq(); /* partner: libc's store of the flag in pthread_cancel: see thread/cancel_kernel.c */
    /* Before the library's constructor only main can come here, which is adopted once more there. */
    if (started)
        when_gone(f);
    return f;
}

void waitq_start(void)
{
    started = true;
}
