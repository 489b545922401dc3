/* The pthread objects. Each keeps glibc's size, place of type and attributes, and static
 * initialisers; process-shared ones also its protocol, as the other process may run without us.
 *
 * All functions return 0 or -errno, may be called by fibers, bound and foreign threads, and block
 * only the calling thread. Deadlines are ns of CLOCK_MONOTONIC, TIMER_NEVER for none. */
#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include "sync/waitq.h"

/* What the shim fills in. The mutex functions are libc's own, for robust mutexes of threads that are
 * all the kernel's (direct); positive results. block and unblock stand around a system call that
 * blocks: the first moves the calling fiber to a kernel thread that nobody else needs. */
struct sync_real {
    bool direct;
    int (*mutex_lock)(pthread_mutex_t *);
    int (*mutex_trylock)(pthread_mutex_t *);
    int (*mutex_clocklock)(pthread_mutex_t *, clockid_t, const struct timespec *);
    int (*mutex_unlock)(pthread_mutex_t *);
    int (*mutex_consistent)(pthread_mutex_t *);
    int (*cond_signal)(pthread_cond_t *);
    void (*block)(struct fiber *self);
    void (*unblock)(struct fiber *self);
    /* Gives the calling fiber a kernel thread of its own for good; 0 or -errno. NULL: cannot. */
    int (*bind)(struct fiber *self);
    /* The kernel tid of the thread that gettid(2) tells tid; bind: it gets a kernel thread of its own for
     * that. -ESRCH: there is none. */
    long (*bind_tid)(uint32_t tid, bool bind);
};
extern struct sync_real sync_real;

/* ---- words that other processes see (shared.c) ---- */

/* futex(2)'s WAIT, in the kernel. 0, -EAGAIN, -ETIMEDOUT, -EINTR (as waitq_wait), or what else the
 * kernel answers. */
int shared_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline,
                enum park_reason reason);
/* The same for a wait that is no cancellation point and never answers EINTR: 0 or -ETIMEDOUT. */
int shared_wait_on(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline,
                   enum park_reason reason);
/* What both do: any futex wait, private or shared, one word or several. */
long kernel_futex_wait(struct fiber *self, const struct futex_wait *what, uint64_t deadline,
                       enum park_reason reason);
/* futex(2)'s WAKE; *word is not read and may be gone. */
void shared_wake(_Atomic uint32_t *word, int n);
/* The process id: the owner that other processes see. */
uint32_t shared_owner(void);
void sync_after_fork(struct fiber *self);

/* ---- mutex: POSIX pthread_mutex_lock(3) and friends ---- */
struct mutex {
    _Atomic uint32_t lock; /* 0 free, 1 held, 2 held and somebody may wait (glibc's values) */
    uint32_t count;        /* recursion */
    /* tid; process-shared: shared_owner(), because fibers of two processes may have the same tid */
    _Atomic uint32_t owner;
    /* For pthread_mutex_destroy. Process-shared: tid of the owning fiber (glibc: 1 while owned). Private:
     * number of condition waits that will lock it again. */
    uint32_t users;
    int32_t kind;
    uint32_t spins;
    struct robust_node {
        void *prev, *next; /* both point at another node's next, as the kernel wants it */
    } node;
};
#define MUTEX_TYPE    3
#define MUTEX_ROBUST  16
#define MUTEX_INHERIT 32 /* priority inheritance */
#define MUTEX_PROTECT 64 /* priority ceiling */
#define MUTEX_SHARED  128
/* Ignoring elision. */
#define MUTEX_NOT_NORMAL (MUTEX_TYPE | MUTEX_ROBUST | MUTEX_INHERIT | MUTEX_PROTECT | MUTEX_SHARED)

/* The owner of a recursive one locks it once more: 0 or -EAGAIN. */
static inline int mutex_again(struct mutex *m)
{
    if (m->count + 1 == 0)
        return -EAGAIN;
    m->count++;
    return 0;
}

int mutex_lock_slow(struct mutex *m, uint64_t deadline);
int mutex_unlock_slow(struct mutex *m);
int mutex_trylock(struct mutex *m);

static inline int mutex_lock(struct mutex *m)
{
    struct fiber *self = fiber_self;
    uint32_t free = 0;
    if (likely(!(m->kind & MUTEX_NOT_NORMAL) && self && cas_acquire(&m->lock, &free, 1))) {
        store_relaxed(&m->owner, self->tid);
        return 0;
    }
    return mutex_lock_slow(m, TIMER_NEVER);
}

static inline int mutex_unlock(struct mutex *m)
{
    uint32_t held = 1;
    if (likely(!(m->kind & MUTEX_NOT_NORMAL))) {
        store_relaxed(&m->owner, 0);
        if (likely(cas_release(&m->lock, &held, 0))) /* partner: the next locker's acquire */
            return 0;
    }
    return mutex_unlock_slow(m);
}

/* Robust ones: robust.c. trying: pthread_mutex_trylock(3). */
int robust_lock(struct mutex *m, uint64_t deadline, bool trying);
int robust_unlock(struct mutex *m);
int robust_consistent(struct mutex *m);
/* libc has initialised it: takes from it what cannot be had, and says so in one line. */
void robust_init(struct mutex *m);
/* The calling thread ends: what it still holds goes to others with EOWNERDEAD. */
void robust_end(struct fiber *self);
void robust_after_fork(struct fiber *self);

/* With priority inheritance: inherit.c. */
int inherit_lock(struct mutex *m, uint64_t deadline, bool trying);
int inherit_unlock(struct mutex *m);

/* futex(2)'s operations with priority inheritance on a private word: pi.c. Results as there; until and op
 * (FUTEX_LOCK_PI...) are passed on to the kernel, which has checked neither. */
long pi_lock(_Atomic uint32_t *word, uint32_t op, const struct timespec *until);
long pi_trylock(_Atomic uint32_t *word);
/* FUTEX_UNLOCK_PI; what is left in the word: 0, or FUTEX_OWNER_DIED. */
long pi_release(_Atomic uint32_t *word, uint32_t bits);
/* The first with a deadline of ours. */
long pi_lock_until(_Atomic uint32_t *word, uint64_t deadline);
void pi_after_fork(void);

/* With a priority ceiling: ceiling.c. */
int ceiling_lock(struct mutex *m, uint64_t deadline, bool trying);
int ceiling_unlock(struct mutex *m);
/* pthread_mutex_setprioceiling(3). */
int ceiling_set(struct mutex *m, int ceiling, int *old);
/* Whether the calling thread holds such mutexes; and what it has without them. */
bool ceiling_has(struct fiber *self, int *policy, int *priority);
/* That changes: the kernel thread gets it when it holds none any more, if it is less. */
int ceiling_base(struct fiber *self, int policy, int priority);
void ceiling_end(struct fiber *self);

/* ---- condition variable: pthread_cond_wait(3) ---- */
struct cond {
    _Atomic uint32_t waiters;
    uint32_t unused[8];
    uint32_t flags; /* where glibc keeps them: 1 process-shared, 2 CLOCK_MONOTONIC */
};
#define COND_SHARED    1u
#define COND_MONOTONIC 2u
/* -EINTR with the mutex locked: interrupted, a spurious wake-up to the program. */
int cond_wait(struct cond *c, struct mutex *m, uint64_t deadline);
int cond_wake(struct cond *c, int n);
/* Process-shared: shared_cond.c. Only if libc's protocol is the one that we know. */
bool shared_cond_known(void);
int shared_cond_wait(struct cond *c, struct mutex *m, uint64_t deadline);
int shared_cond_signal(struct cond *c);
int shared_cond_broadcast(struct cond *c);
int shared_cond_destroy(struct cond *c);

/* ---- read-write lock: pthread_rwlock_rdlock(3) ---- */
struct rwlock {
    _Atomic uint32_t state; /* RW_ bits and the number of readers */
    _Atomic uint32_t writers_waiting;
    _Atomic uint32_t phase_futex, writers_futex; /* process-shared only, as is the next */
    uint32_t fiber;                              /* tid of the writer, if of our process */
    uint32_t unused;
    _Atomic uint32_t owner; /* tid of the writer, where glibc keeps it; shared: shared_owner() */
    uint32_t shared;
    uint32_t pad[4];
    uint32_t kind;
};
/* Process-shared: glibc's protocol (shared_rwlock.c). */
int shared_rwlock_read(struct rwlock *l, uint64_t deadline);
int shared_rwlock_write(struct rwlock *l, uint64_t deadline);
int shared_rwlock_try_read(struct rwlock *l);
int shared_rwlock_try_write(struct rwlock *l);
int shared_rwlock_unlock(struct rwlock *l);
int rwlock_read(struct rwlock *l, uint64_t deadline);
int rwlock_write(struct rwlock *l, uint64_t deadline);
int rwlock_try_read(struct rwlock *l);
int rwlock_try_write(struct rwlock *l);
int rwlock_unlock(struct rwlock *l);

/* ---- semaphore: sem_wait(3) ---- */
struct sem {
    _Atomic uint64_t data; /* value in the low, waiters in the high half (glibc's layout) */
    uint32_t shared;
};
int sem_take(struct sem *s, uint64_t deadline);
int sem_try(struct sem *s);
int sem_give(struct sem *s);

/* ---- barrier, once, spin ---- */
struct barrier {
    _Atomic uint32_t in, round;
    uint32_t count, shared;
    _Atomic uint32_t out;
};
/* 1 for the serial thread, else 0. */
int barrier_wait(struct barrier *b);
/* Process-shared: glibc's protocol (shared.c). */
int shared_barrier_wait(struct barrier *b);
int shared_barrier_destroy(struct barrier *b);
int once_run(_Atomic uint32_t *control, void (*init)(void));
int spin_acquire(_Atomic int *s);
int spin_try(_Atomic int *s);
int spin_release(_Atomic int *s);

#endif
