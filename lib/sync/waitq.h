/* Waiting on an address: the one primitive under every pthread object and under futex(2).
 *
 * Nothing is stored in the object but its own words; waiters queue in a hash table keyed by the
 * address. Everything here may be called by fibers, bound and foreign threads alike. */
#ifndef SYNC_WAITQ_H
#define SYNC_WAITQ_H

#include "base/list.h"
#include "sched/sched.h"

#define WAITQ_ANY UINT32_MAX

struct bucket {
    struct lock lock;
    _Atomic uint32_t count; /* waiters; readable without the lock */
    struct list waiters;    /* oldest first */
    uint32_t absent;        /* waiters that are away, see WAITER_ABSENT */
    uint32_t round;         /* of those: all that left before it changed are woken */
    uint32_t in_kernel;     /* of these, how many wait in the kernel instead: waitq_kernel_begin */
} __attribute__((aligned(CACHE_LINE)));

/* One waiting thread, on its own stack. */
struct waiter {
    struct list node;
    const void *key;
    struct fiber *fiber;
    _Atomic(struct bucket *) bucket;
    uint32_t bits;
    uint32_t tag; /* the object's own mark, for wakers that choose */
    _Atomic uint32_t
        *counter;    /* a word of the object's, lowered when the waiter leaves the queue */
    uint32_t result; /* WAITER_ */
    uint32_t round;  /* the bucket's, when it became ABSENT */
    bool returns;    /* an interruption makes it ABSENT instead of EXPIRED */
};
/* ABSENT: off the queue while handlers run that interrupted the wait (they may never return), but
 * counted: in the object's counter and in the bucket. Whoever wakes and finds too few on the queue
 * wakes all who are absent, by changing the round; so nobody need find them. */
enum { WAITER_QUEUED, WAITER_WOKEN, WAITER_EXPIRED, WAITER_ABSENT };

/* The calling thread's fiber, adopting a foreign thread at its first call. Never NULL. */
struct fiber *fiber_current_slow(void);
static inline struct fiber *fiber_current(void)
{
    struct fiber *f = fiber_self;
    return likely(f) ? f : fiber_current_slow();
}

struct bucket *waitq_bucket(const void *key);

/* futex(2)'s WAIT: parks while *word == expected. 0 when woken, -EAGAIN, -ETIMEDOUT, -EINTR: ended by
 * fiber_interrupt; handlers ran before the return, or there was no reason. */
int waitq_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline,
               enum park_reason reason);

/* From now on, and until end, wakers of the address also ask the kernel, where the caller is about to wait
 * for it with a private futex. */
void waitq_kernel_begin(const void *key);
void waitq_kernel_end(const void *key);

/* futex(2)'s WAKE: wakes up to n of those that wait on key with a bit in common. Returns how many.
 * key is not read: the object may be unmapped already. */
int waitq_wake(const void *key, int n, uint32_t bits);

/* futex(2)'s REQUEUE and CMP_REQUEUE: wakes up to n waiters of from and moves up to move more to the
 * queue of to. With check: -EAGAIN unless *from == expected. Returns how many were woken or moved. */
int waitq_requeue(_Atomic uint32_t *from, const void *to, int n, int move, bool check,
                  uint32_t expected);

/* ---- for objects that decide under the bucket's lock ----
 * enter: inside the runtime with the bucket locked; then either leave, or queue-and-park, which
 * does both. */
struct bucket *waitq_enter(struct fiber *self, const void *key);
void waitq_leave(struct fiber *self, struct bucket *b);
/* Parks; 0, -ETIMEDOUT or -EINTR. front: ahead of the others. The bucket is unlocked after. */
int waitq_park(struct fiber *self, struct bucket *b, struct waiter *x, const void *key, bool front,
               uint64_t deadline, enum park_reason reason);
/* The same for a waiter that its object queued already. */
int waitq_park_queued(struct fiber *self, struct bucket *b, struct waiter *x, uint64_t deadline,
                      enum park_reason reason);
/* The oldest waiter on key, or NULL. */
struct waiter *waitq_first(struct bucket *b, const void *key);
/* With the bucket locked: whether nobody has woken x since it became ABSENT; then it is absent no
 * more and may queue again. If not, its object may be gone. */
bool waitq_back(struct bucket *b, struct waiter *x);
/* Takes a waiter off the queue; it must then be added to a wake list. */
void waitq_take(struct bucket *b, struct waiter *x);

/* Collects fibers to be made ready once the lock is released. */
struct wake_list {
    struct fiber *first, *last;
};
void wake_list_add(struct wake_list *l, struct waiter *x);
/* Wakers' side: inside the runtime with the bucket locked, until the woken are made ready. */
void waitq_lock(struct fiber *self, struct bucket *b);
void waitq_unlock_and_wake(struct fiber *self, struct bucket *b, struct wake_list *l);

/* In the constructor: once per process. */
void waitq_start(void);
void waitq_after_fork(void);

/* Converts an absolute time of a clock to ns of CLOCK_MONOTONIC. False: invalid nanoseconds. */
bool deadline_from(clockid_t clock, const struct timespec *abs, uint64_t *deadline);

#endif
